"""`dcgan annotate GROUP`: a page to pick concepts and draw boxes on a generator's samples."""
