"""The commands of fsvae-tcja classify, one a file: `main(args)` parses, does, prints, and returns an exit status."""
