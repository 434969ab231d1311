"""Server-side printing: the Table form that kubectl shows."""
