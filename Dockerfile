# Any Debian image with Python 3.11 or later and its venv module will do; deploy/make-base-image.sh makes one without Docker Hub.
ARG BASE_IMAGE=python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

FROM ${BASE_IMAGE} AS build
# Another index than PyPI, and an authority to believe it by (the text of a PEM file). They stay in this stage; the image does not know them.
ARG PIP_INDEX_URL
ARG BUILD_CA
ENV PIP_CERT=${BUILD_CA:+/tmp/ca.pem}
WORKDIR /src
RUN [ -z "$BUILD_CA" ] || printf '%s\n' "$BUILD_CA" >/tmp/ca.pem
# pip installs from outside, so that the image itself has none. Every package is pinned with its hashes.
COPY requirements requirements
RUN python3 -m venv /pip && python3 -m venv --without-pip /opt/regproxy \
    && /pip/bin/python -m pip install --quiet --no-cache-dir --require-hashes --requirement requirements/build.txt \
    && /pip/bin/pip --python /opt/regproxy install --no-cache-dir --no-warn-script-location --require-hashes --requirement requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY deploy deploy
COPY regproxy regproxy
RUN /pip/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . \
    && /pip/bin/pip --python /opt/regproxy install --no-index --no-deps --no-warn-script-location /wheel/*.whl

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="regproxy" \
      org.opencontainers.image.description="A pull-through caching proxy for container registries" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="The regproxy maintainers"
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/regproxy --shell /usr/sbin/nologin regproxy \
    && install --directory --owner=regproxy --group=regproxy --mode=0750 /var/lib/regproxy
COPY --from=build /opt/regproxy /opt/regproxy
COPY config/docker.yaml /etc/regproxy/regproxy.yaml
ENV PATH=/opt/regproxy/bin:$PATH \
    REGPROXY_CONFIG=/etc/regproxy/regproxy.yaml
# By number: Kubernetes' runAsNonRoot cannot judge a name.
USER 10001:10001
VOLUME /var/lib/regproxy
EXPOSE 5000 5001
# A configuration that moves the admin port needs a health check of its own.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:5001/healthz', timeout=2)"]
ENTRYPOINT ["regproxy"]
CMD ["serve"]
