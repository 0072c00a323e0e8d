"""The picture field: adding, showing and removing a picture that runs start from."""
