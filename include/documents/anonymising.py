"""What leaves the house leaves without the names and contact details that rules find."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from include.contributions.sources.blotting import blotted
from include.documents.themes import extractor


def anonymised(text: str) -> str:
    """Write a text without the persons' names and contact details that rules find: not all there are.

    >>> anonymised("Contact : Mme Marie Le Goff, 06 12 34 56 78.")
    'Contact : Mme [nom] [nom] [nom], [coordonnées].'
    """
    without_names = extractor().without_names(text)
    return blotted(without_names, len(without_names))


def is_in_the_house(base_url: str) -> bool:
    """Say whether a site's host is this machine or an address of a private network.

    >>> is_in_the_house("http://127.0.0.1:8080/v1"), is_in_the_house("https://provider.example")
    (True, False)
    """
    host = urlsplit(base_url).hostname or ""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_private
