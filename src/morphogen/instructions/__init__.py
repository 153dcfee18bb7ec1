"""Instructions: images before and after an order in words, made so that the answer is known, or made by prompts."""
