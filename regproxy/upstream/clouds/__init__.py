"""Credentials that end: issued by clouds and programs, and renewed ahead of their end."""
