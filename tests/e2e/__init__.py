"""Tests on one running system; a package, so that it ends with the last of them."""
