"""python healthcheck.py PORT PATH: ends with 0 when this address on this machine answers with 200.

For images without curl. It speaks plain http to the process itself and follows no redirect, so neither
a proxy nor TLS in front has a say.
"""

import http.client
import sys

SECONDS = 4


def main() -> int:
    port, path = sys.argv[1:]
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=SECONDS)
    try:
        connection.request("GET", path, headers={"Host": "localhost"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        sys.stderr.write(f"{path}: {error}\n")
        return 1
    if status != http.HTTPStatus.OK:
        sys.stderr.write(f"{path}: status {status}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
