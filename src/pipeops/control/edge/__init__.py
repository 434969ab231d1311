"""Where clients arrive: HTTP/1.1 connections and what becomes of their requests."""
