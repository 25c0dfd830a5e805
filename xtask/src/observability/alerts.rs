//! Alerts: what a person on call has to hear of. None is of a shop in which nothing happens, of a rollout, or of half a minute without figures.
//!
//! What the operator says of a Shop is asked for over three minutes, so that a change of its leader ends no alert. Rates of services are asked
//! for over a minute at least, and so need two scrapes a minute.

mod of_operator;
mod of_services;
mod of_shops;

use super::Group;

pub(super) const ALL: &[Group] = &[
    Group {
        name: "shops",
        alerts: of_shops::ALL,
    },
    Group {
        name: "shop-services",
        alerts: of_services::ALL,
    },
    Group {
        name: "shop-operator",
        alerts: of_operator::ALL,
    },
];
