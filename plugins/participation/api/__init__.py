"""What a browser or a caller asks the API server; every route needs a login and a permission."""
