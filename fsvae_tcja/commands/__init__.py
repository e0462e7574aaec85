"""The commands of the program fsvae-tcja, one a file: `main(args)` parses, does, prints, and returns an exit status."""
