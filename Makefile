# The only command surface; `make help` lists it.
# Scripts do the work: every target is a line or two that says which.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The Node of package.json is used, whatever the machine has.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

packages := node_modules/.installed

.PHONY: help
help: ## Show this help
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z][a-z0-9-]*:.*## / { printf "  %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Begin here

.PHONY: demo
demo: $(packages) ## Cluster, images, Helm install, one Agent until it is Ready; about a minute when repeated
	@node hack/demo/main.ts

##@ Tests

.PHONY: test
test: $(packages) ## Every test there is; closes with the totals
	@hack/ci/test.sh unit integration proof e2e

.PHONY: test-unit
test-unit: $(packages) ## Pure tests, seconds
	@hack/ci/test.sh unit

.PHONY: test-integration
test-integration: $(packages) ## Against a real API server, Postgres and NATS; no root
	@hack/ci/test.sh integration

.PHONY: test-proof test-chaos
test-proof: $(packages) ## The model check with more going wrong at once, a death at any write, everything killed at random; minutes
	@hack/ci/test.sh proof
test-chaos: export CHAOS_SECONDS ?= 600
test-chaos: $(packages) ## Postgres, NATS and the operator killed at random under load; CHAOS_SECONDS, CHAOS_SEED
	@vitest run --project proof operator/chaos.proof.test.ts

.PHONY: e2e test-e2e
e2e: $(packages) ## Against a whole cluster with gVisor, made for it; needs root, Docker or Podman, or KUBECONFIG=…
	@hack/ci/test.sh e2e
test-e2e: e2e ## The same as e2e

.PHONY: bench bench-start bench-scale bench-outbox bench-soak bench-handover bench-watch
bench: bench-start bench-scale bench-outbox bench-handover bench-watch ## All benchmarks but the soak
bench-start: cluster-up image deploy ## Time from create to Ready, beside bare pods
	@node hack/bench/start.ts
bench-scale: $(packages) ## 1,000 Agents at once, their end, 10,000 cached; on simulated nodes, no root; PART=f4|f5
	@node hack/bench/scale.ts
bench-outbox: $(packages) ## Outbox to JetStream: backlog, latency, beside trouble, beside two job queues; PART=…
	@node hack/bench/outbox.ts
bench-soak: $(packages) ## The outbox for SOAK_SECONDS (900) while old rows go: table, CSV and plot in dist/
	@node hack/bench/soak.ts
bench-handover: $(packages) ## From the leader's end to the standby's lead, told to stop and killed; no root
	@node hack/bench/handover.ts
bench-watch: $(packages) ## From a watch event to its pass, in bursts of 300 writes; no root
	@node hack/bench/watch.ts

.PHONY: gates release-check
gates: $(packages) ## What a merge and a release must pass, judged by what the last make test left
	@node hack/gates/main.ts
release-check: ## Every test, then every gate
	@$(MAKE) verify test
	@$(MAKE) gates

##@ Code

.PHONY: verify
verify: $(packages) ## Generated files, types, lint, import rules, samples, chart, scripts: all as they should be
	@node hack/verify/main.ts

.PHONY: generate
generate: $(packages) ## Write CRDs, RBAC and the other generated files
	@node hack/generate/main.ts

.PHONY: fmt
fmt: $(packages) ## Format the code and fix what lint can fix
	@biome check --write .

.PHONY: lint
lint: $(packages) ## Lint and check the format
	@biome check --error-on-warnings .

.PHONY: typecheck
typecheck: $(packages) ## Check the types
	@tsc --noEmit

##@ Development cluster (KUBECONFIG=… uses a cluster of yours instead)

.PHONY: cluster-up
cluster-up: ## A one-node cluster with gVisor; repairs it when need be
	@hack/cluster/up.sh

.PHONY: cluster-down
cluster-down: ## Remove that cluster and all it left
	@hack/cluster/down.sh

.PHONY: kubeconfig
kubeconfig: ## Print the path of its kubeconfig
	@hack/cluster/kubeconfig.sh

.PHONY: image
image: $(packages) ## Build the images and load them into the cluster
	@hack/load-images.sh

.PHONY: deploy
deploy: $(packages) ## Install or upgrade the chart in the cluster
	@hack/deploy.sh

.PHONY: run
run: $(packages) ## Run the operator from source against the cluster, again after every edit
	@hack/run.sh

##@ The rest

.PHONY: clean
clean: ## Remove what was built in the checkout; clusters and caches stay
	rm -rf dist coverage

$(packages): package-lock.json
	@hack/ci/install.sh $@
