"""The assets, a module a domain; each exposes the steps that it declares."""
