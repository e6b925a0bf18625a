"""The layouts of data sets: one file per layout, each with one function that reads it."""
