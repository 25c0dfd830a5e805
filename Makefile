# The few commands people type. What they do lies in dev/, xtask/ and e2e/.
.DEFAULT_GOAL := help
.PHONY: help run up down observe observe-down observe-proof browser-proof demo demo-release ship figures bench-operator test test-fast test-long contract contracts-fuzz fmt lint generate clean-cache

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## The shop in one process on this machine, without a cluster: the quickest way to see it
	@dev/run.sh

up: ## A cluster with the operator and a running shop, at the state of this tree
	@dev/up.sh

down: ## Remove that cluster
	@dev/cluster.sh down shopkeeper

observe: ## Traces, logs and metrics of that cluster, in a namespace of their own
	@dev/observe.sh up

observe-down: ## Remove them
	@dev/observe.sh down

observe-proof: ## Prove that they tell all: an order's trace, its lines, alerts, boards; breaks and mends the shop (3 to 6 minutes)
	@dev/observe.sh proof

browser-proof: ## The pages of the running shop in a real browser, with screenshots (minutes; installs Chromium)
	@dev/browser.sh

demo: ## A buyer registers, searches with a typo, orders and pays; told as a story
	@cargo xtask run demo story

demo-release: ## A release of the whole shop that goes wrong and takes itself back, while somebody buys
	@cargo xtask run demo release

ship: ## S=search: build one service of this tree and roll it out alone
	@dev/ship.sh "$(S)"

figures: ## Measure the running shop: seconds to Ready, memory, image sizes, CPU per request, releases under traffic (TOPOLOGY=monolith: both topologies)
	@cargo xtask run figures $(if $(TOPOLOGY),--topology $(TOPOLOGY))

bench-operator: ## Measure the operator with 1,000 Shops on an API server without nodes, beside a plain controller (SHOPS=n)
	@dev/bench-operator.sh $(or $(SHOPS),1000)

test: ## All tests, end to end too, on a cluster of its own (KEEP=1 leaves it)
	@dev/test.sh all

test-fast: ## All tests that need no cluster
	@dev/test.sh fast

test-long: ## The tests that `make test` leaves out because each takes half a minute and more
	@dev/test.sh long

contract: ## SERVICE=email [IMAGE=…]: prove that an image, or an archive of one, keeps the contract of a service
	@dev/contract.sh "$(SERVICE)" "$(IMAGE)" $(ARGUMENTS)

contracts-fuzz: ## Schemathesis against the public services of the running shop (2 minutes)
	@dev/contracts/fuzz.sh 30

fmt: ## Format the code
	@cargo fmt --all

lint: ## Clippy, warnings are errors
	@cargo clippy --workspace --all-targets -- -D warnings

generate: ## Write the files that are generated from code
	@cargo xtask generate

clean-cache: ## Remove the clusters, the test back ends, the cache and the images made for them
	@dev/clean-cache.sh
