"""Rooms, faces and things drawn from known factors: what is seen on each picture is known."""
