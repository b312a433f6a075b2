"""What is written for drawn people: photographs for each, and two tables of the truth."""

PEOPLE_FOLDER = "people"
PICTURES_FILE, HEADS_FILE = "pictures.parquet", "heads.parquet"
