"""Public data sets: one YAML file each, which says where it is, under which licence, and how to cite it."""
