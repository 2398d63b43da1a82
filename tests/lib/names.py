"""A person who stands in every sample, and must stand nowhere else."""

PLANTED_NAME = "Wilhelmina Quarterstaff"
PLANTED_MAIL = "wilhelmina@quarterstaff.example"
PLANTED_LOGIN = "wilhelmina-quarterstaff"
