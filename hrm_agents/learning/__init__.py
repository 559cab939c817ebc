"""What is learned, and how: the losses of answers and of halting, and whether training goes well."""
