"""A notebook that shows the whole process in code, run on a study."""
