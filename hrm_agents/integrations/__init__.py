"""HRM in other people's training code; each module needs the package that it is named after."""
