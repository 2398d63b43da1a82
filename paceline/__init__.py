"""The service: settings, wiring, scheduler, HTTP, pages and the command line."""
