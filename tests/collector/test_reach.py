"""Which addresses are connected to: judged after the name was looked up, and no other address is used than that."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from collector.errors import ContractError, PacelineError, SourceError
from collector.gitcommand import Access, Git
from collector.http import ApiClient, Limits, Wire
from collector.probing import Check, prober, trusting
from collector.reach import OutOfReachError, Reach, Resolver

PUBLIC = "93.184.216.34"
METADATA = "169.254.169.254"
QUICK = Limits(seconds=5.0, attempts=1)


@dataclass
class Names:
    """A resolver: each name's answers one after another, the last one from then on. It notes what it was asked."""

    answers: dict[str, list[Sequence[str]]]
    asked: list[str] = field(default_factory=list)

    def __call__(self, host: str, port: int, **_: Any) -> list[Any]:
        """The addresses of a name; of a number what the system makes of it."""
        self.asked.append(host)
        told = self.answers.get(host)
        if told is None:
            return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))
        addresses = told.pop(0) if len(told) > 1 else told[0]
        kinds = {address: socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses}
        return [(kinds[a], socket.SOCK_STREAM, 6, "", (a, port)) for a in addresses]


def names(**answers: str) -> Names:
    """A resolver of names of `.example`; several answers to one stand with blanks between."""
    return Names({f"{name}.example": [[address] for address in told.split()] for name, told in answers.items()})


@dataclass
class Server:
    """A real server on loopback: it notes the `Host` of each request, and redirects `/away` to where it is told."""

    port: int = 0
    hosts: list[str] = field(default_factory=list)
    away: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    """It is stopped at the end."""
    noted = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            noted.hosts.append(self.headers["Host"])
            moved = self.path.startswith(("/away", "/repository"))
            self.send_response(302 if moved else 200)
            if moved:
                self.send_header("Location", noted.away)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        noted.port = listening.server_port
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        yield noted
        listening.shutdown()
        thread.join()


def asked(url: str, reach: Reach) -> Any:
    """What a server at an address answers."""
    with closing(ApiClient(url, reach=reach, limits=QUICK)) as client:
        return client.get().json()


@pytest.mark.parametrize(
    "address",
    [
        METADATA,
        "169.254.7.7",
        "fe80::1",
        "fe80::1%1",
        "fd00:ec2::254",
        "100.100.100.200",
        "224.0.0.1",
        "ff02::1",
        "0.0.0.1",
        "255.255.255.255",
        "::",
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "::169.254.169.254",
    ],
)
def test_what_no_configuration_means_is_out_of_reach(address: str) -> None:
    """Metadata services, link-local and multicast addresses, and what is no server, in whatever form."""
    assert Reach().fault(address) is not None
    assert Reach(allow=(ip_network("0.0.0.0/0"), ip_network("::/0"))).fault(address) is None


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "::1", "fd12::1", "::ffff:10.0.0.1"],
)
def test_private_addresses_are_for_what_a_person_configured(address: str) -> None:
    """They are reached by default, not where settings say so, and never because another system named them."""
    assert Reach().fault(address) is None
    assert Reach(private=False).fault(address) == "a private address"
    assert Reach().of_data.fault(address) == "a private address"


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
def test_public_addresses_are_reached(address: str) -> None:
    """What is public is reached in any case."""
    assert Reach(private=False).fault(address) is None


def test_an_allowed_network_is_reached() -> None:
    """What is allowed counts also for what another system named."""
    reach = Reach(private=False, allow=(ip_network("10.1.0.0/16"),))

    assert reach.of_data.fault("10.1.2.3") is None
    assert reach.fault("10.2.2.3") is not None


def test_loopback_that_a_person_wrote_is_asked(server: Server) -> None:
    """A server on this machine is one as any other."""
    assert asked(f"http://127.0.0.1:{server.port}/", Reach()) == {}


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]", "127.0.0.1."]
)
def test_however_loopback_is_spelled_it_is_loopback(host: str, server: Server) -> None:
    """Decimal, octal, hexadecimal, short and mapped: what is judged is the address that comes out."""
    with pytest.raises(SourceError):
        asked(f"http://{host}:{server.port}/", Reach(private=False))

    assert server.hosts == []


@pytest.mark.parametrize("host", ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518"])
def test_however_metadata_is_spelled_it_is_refused(host: str) -> None:
    """The same for the service that hands out a machine's credentials."""
    with pytest.raises(OutOfReachError, match="metadata"):
        asked(f"http://{host}/latest/meta-data/", Reach())


def test_a_name_is_judged_by_what_it_means(server: Server) -> None:
    """A public name that leads here is no way in; the message says why and where to read on."""
    reach = Reach(private=False, resolve=names(public="127.0.0.1"))

    with pytest.raises(OutOfReachError, match=r"GET http://public\.example.*a private address.*docs/security\.md"):
        asked(f"http://public.example:{server.port}", reach)

    assert server.hosts == []


def test_a_name_is_looked_up_once_and_the_server_hears_it(server: Server) -> None:
    """One that means something else a moment later gains nothing; `Host` stays the name."""
    resolver = names(rebound=f"127.0.0.1 {METADATA}")

    assert asked(f"http://rebound.example:{server.port}/", Reach(resolve=resolver)) == {}

    assert resolver.asked == ["rebound.example"]
    assert server.hosts == [f"rebound.example:{server.port}"]


def test_a_name_that_turns_private_is_refused_then(server: Server) -> None:
    """Each new connection is judged anew."""
    resolver = names(turning=f"127.0.0.1 {METADATA}")
    asked(f"http://turning.example:{server.port}/", Reach(resolve=resolver))

    with pytest.raises(OutOfReachError):
        asked(f"http://turning.example:{server.port}/", Reach(resolve=resolver))


def test_of_several_addresses_only_those_in_reach_are_tried(server: Server) -> None:
    """A name with a forbidden address beside a good one leads to the good one."""
    resolver = Names({"both.example": [[METADATA, "127.0.0.1"]]})

    assert asked(f"http://both.example:{server.port}/", Reach(resolve=resolver)) == {}


@pytest.mark.parametrize("target", ["http://169.254.169.254/", "http://localhost:1/", "//[::1]/", "http://2130706433/"])
def test_a_redirect_leads_to_no_other_server(target: str, server: Server) -> None:
    """Whatever it is called, and whether or not it is in reach."""
    server.away = target

    with closing(ApiClient(f"http://127.0.0.1:{server.port}", limits=QUICK)) as client, pytest.raises(ContractError):
        client.get("away")


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:{port}@evil.example/",
        "http://127.0.0.1:{port}\\@evil.example/",
        "http://evil.example\\@127.0.0.1:{port}/",
        "http://evil.example#@127.0.0.1:{port}/",
        "http://evil.example?@127.0.0.1:{port}/",
        "http:\\\\evil.example/",
        "\\\\evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "http:///evil.example/",
        "http://127.0.0.1:{port} .evil.example/",
        "http://127.0.0.1:{port}%2f@evil.example/",
        "http://127.0.0.1.:{port}/",
        "http://[::ffff:127.0.0.1%25evil.example]:{port}/",
        "http://127.0.0.1:{port}\t@evil.example/",
    ],
)
def test_what_readers_of_addresses_disagree_on_leads_nowhere_else(target: str, server: Server) -> None:
    """Whoever reads an address in the end: no name but the configured one is ever looked up."""
    server.away = target.format(port=server.port)
    resolver = Names({"evil.example": [["127.0.0.1"]]})
    reach = Reach(resolve=resolver)

    with closing(ApiClient(f"http://127.0.0.1:{server.port}", limits=QUICK, reach=reach)) as client:
        with suppress(PacelineError):
            client.get("away")
        with suppress(PacelineError):
            client.follow(server.away, client.get())

    assert set(resolver.asked) == {"127.0.0.1"}


def test_an_address_of_data_is_public_or_refused(server: Server) -> None:
    """The same client of what another system named does not come in here."""
    wire = Wire(reach=Reach(resolve=names(told="127.0.0.1")))

    with (
        closing(wire.client(f"http://told.example:{server.port}", limits=QUICK, of_data=True)) as client,
        pytest.raises(OutOfReachError),
    ):
        client.get()

    assert server.hosts == []


def test_a_proxy_may_stand_here_and_is_asked_for_no_forbidden_address(server: Server) -> None:
    """Names are the proxy's to look up; an address of a metadata service is not even asked for."""
    proxy = f"http://127.0.0.1:{server.port}"
    reach = Reach(private=False)

    with closing(ApiClient("http://api.example", proxy=proxy, reach=reach, limits=QUICK)) as client:
        assert client.get().json() == {}
    with (
        closing(ApiClient(f"http://{METADATA}", proxy=proxy, reach=reach, limits=QUICK)) as client,
        pytest.raises(OutOfReachError),
    ):
        client.get()

    assert server.hosts == ["api.example"]


def test_a_proxy_itself_must_be_in_reach() -> None:
    """A metadata service is no proxy."""
    with (
        closing(ApiClient("http://api.example", proxy=f"http://{METADATA}", limits=QUICK)) as client,
        pytest.raises(OutOfReachError),
    ):
        client.get()


def probed(url: str, resolver: Resolver, **fields: Any) -> str | None:
    """Why a check of an address fails."""
    check = Check(url=url, timeout_seconds=5.0, trust=trusting(None), **fields)
    found = prober(Reach(resolve=resolver)).check(check, 0.0)
    assert found is not None
    return found.failure


def test_a_check_of_a_private_target_is_made_and_of_metadata_is_not(server: Server) -> None:
    """A probe is configured by a person, as everything else."""
    resolver = names(inside="127.0.0.1", cloud=METADATA)

    assert probed(f"http://inside.example:{server.port}/", resolver) is None
    assert probed("http://cloud.example/", resolver) == "address not allowed"
    assert probed("tcp://cloud.example:80", resolver) == "address not allowed"


def test_a_check_is_not_redirected_into_a_private_network(server: Server) -> None:
    """Another host to which a target sends is data: public, allowed, or the check fails saying so."""
    resolver = names(inside="127.0.0.1", beside="127.0.0.1")
    server.away = f"http://beside.example:{server.port}/"

    assert probed(f"http://inside.example:{server.port}/away", resolver) == "address not allowed"

    server.away = f"http://inside.example:{server.port}/"
    assert probed(f"http://inside.example:{server.port}/away", resolver) is None
    assert "beside.example" not in " ".join(server.hosts)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://cloud.example/a.git", "metadata"),
        ("cloud@cloud.example:a.git", "metadata"),
        ("ssh://git@cloud.example/a.git", "metadata"),
        ("ext::sh -c 'touch taken' http://x", "not asked over ext::"),
        ("fd::17", "not asked over fd::"),
        ("ftp://public.example/a.git", "not asked over ftp"),
    ],
)
def test_git_asks_no_server_that_is_out_of_reach(url: str, problem: str, tmp_path: Path) -> None:
    """Before git is started; it could not be held to an address."""
    access = Access(url=url, reach=Reach(resolve=names(cloud=METADATA, public=PUBLIC)))

    with pytest.raises(SourceError, match=problem):
        Git(tmp_path, access).text("clone", "--bare", "--", url, str(tmp_path / "clone"))

    assert list(tmp_path.iterdir()) == []


def test_git_starts_no_program_for_an_address(tmp_path: Path) -> None:
    """What somebody's configuration makes of an address is not `ext::` or a folder."""
    environment = Access(url="https://git.example/a.git").environment

    assert environment["GIT_ALLOW_PROTOCOL"] == "https:http:ssh"
    assert Access(url=tmp_path.as_uri()).environment["GIT_ALLOW_PROTOCOL"] == "file"


def test_git_follows_no_redirect(server: Server, tmp_path: Path) -> None:
    """With or without credentials: it could lead anywhere."""
    server.away = f"http://127.0.0.1:{server.port}/other"
    url = f"http://127.0.0.1:{server.port}/repository"

    with pytest.raises(SourceError, match="redirected, which is not followed"):
        Git(tmp_path, Access(url=url)).text("ls-remote", url)

    assert len(server.hosts) == 1
