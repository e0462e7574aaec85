"""The commands of fsvae-tcja eval, one a file: `main(args)` parses, does, prints, and returns an exit status."""
