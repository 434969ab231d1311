"""Test kit: real components that tests start on loopback, and what reads their traces."""
