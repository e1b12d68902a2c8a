"""nginx in front of a registry and its cache: what is written goes to the registry, what is read comes through the cache."""

from pathlib import Path

from tests.free_port import free_port

from .processes import Daemon, is_listening
from .programs import program

_CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_max_body_size 0;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/proxied;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream origin {{ server {origin}; }}
    upstream cache {{ server {cache}; }}
    map $request_method $of_method {{ default origin; GET cache; HEAD cache; }}
    map $uri $target {{ default $of_method; ~/blobs/uploads/ origin; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://$target;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_request_buffering off;
        }}
    }}
}}
"""


class SplittingRelay:
    """Sends GET and HEAD to *cache*, but for those of an upload, and everything else to *origin*."""

    def __init__(self, folder: Path, origin: str, cache: str) -> None:
        self._port = free_port()
        self.authority = f"127.0.0.1:{self._port}"
        configuration = folder / "nginx.conf"
        configuration.write_text(_CONFIGURATION.format(folder=folder, origin=origin, cache=cache, port=self._port))
        self._daemon = Daemon([program("nginx", "nginx"), "-e", folder / "error.log", "-c", configuration], folder / "nginx.log")

    def start(self) -> None:
        self._daemon.start(lambda: is_listening(self._port))

    def stop(self) -> None:
        self._daemon.stop()
