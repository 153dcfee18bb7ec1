"""Networks that others have trained, frozen: as what a distance reads, or as what a discriminator looks through."""
