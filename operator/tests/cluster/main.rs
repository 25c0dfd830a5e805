//! The operator against a real API server (TEST_KUBECONFIG) and a real PostgreSQL (TEST_DATABASE_URL), both of
//! `dev/backends.sh up`. There is no kubelet and no controller: the tests play them by writing statuses. Every test has a
//! namespace of its own, and the operator has the rights of rbac.md and no more.

mod admission;
mod answers;
mod canary;
mod claims;
mod containment;
mod data;
mod database;
mod drift;
mod drift_limits;
mod failures;
mod harness;
mod holds;
mod install;
mod interruptions;
mod leader;
mod monolith;
mod overrides;
mod ownership;
mod plan;
mod rbac;
mod refusals;
mod release;
mod rollout;
mod running;
mod scale;
mod scaling;
mod schema;
mod services;
mod telemetry;
mod upgrade;
mod watching;
