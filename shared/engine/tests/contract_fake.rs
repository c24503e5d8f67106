//! The fakes keep the contracts of the ports.

use std::sync::Arc;

use brevet_domain::time::Timestamp;
use brevet_engine::contract::{principals, roles, rotator, store, vendor};
use brevet_engine::fake::{
    Faults, ManualClock, MemoryPrincipals, MemoryRoles, MemorySecrets, MemoryStore, MemorySts, SeqIds,
};
use brevet_engine::port::{Clock, IdSource};

const ROLE: &str = "arn:aws:iam::000000000000:role/brevet/dev/session/brevet-dev-shop";

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_seconds(1_795_348_800)))
}

mod on_memory_store {
    use super::*;

    async fn ports() -> Option<store::Ports> {
        let memory = Arc::new(MemoryStore::new(Arc::new(Faults::none())));
        let published = memory.clone();
        let publish: store::Publish = Arc::new(move |bundle| {
            published.publish(bundle);
            Box::pin(async {})
        });
        let confirmed = memory.clone();
        let confirm: store::Confirm = Arc::new(move |confirmation| {
            confirmed.put_confirmation(confirmation);
            Box::pin(async {})
        });
        Some(store::Ports::of(memory, (publish, confirm), Arc::new(SeqIds::new())))
    }

    brevet_engine::store_contract!(ports());
}

mod on_memory_sts {
    use super::*;

    async fn fixture() -> Option<vendor::Fixture> {
        let clock = clock();
        let now = clock.now();
        let vendor = Arc::new(MemorySts::new(clock, Arc::new(Faults::none())));
        let grant = SeqIds::new().grant_id(now);
        Some(vendor::Fixture { vendor, role_arn: ROLE.to_owned(), grant, now })
    }

    brevet_engine::vendor_contract!(fixture());
}

mod on_memory_roles {
    use super::*;

    async fn fixture() -> Option<roles::Fixture> {
        let roles = Arc::new(MemoryRoles::new(clock(), Arc::new(Faults::none())));
        Some(roles::Fixture { roles, role_arn: ROLE.to_owned() })
    }

    brevet_engine::roles_contract!(fixture());
}

mod on_memory_principals {
    use super::*;

    async fn fixture() -> Option<principals::Fixture> {
        let clock = clock();
        let now = clock.now();
        let memory = Arc::new(MemoryPrincipals::new(clock, Arc::new(Faults::none())));
        let role = |name: &str| format!("arn:aws:iam::000000000000:role/brevet/dev/attachment/brevet-dev-{name}");
        let policy = |path: &str| format!("arn:aws:iam::000000000000:policy/brevet/dev/{path}");
        memory.add(&role("batch"), Some(&policy("brevet-dev-boundary")));
        memory.add(&role("bare"), None);
        Some(principals::Fixture {
            principals: memory.clone(),
            provisioner: memory.clone(),
            deprovisioner: memory,
            role_arn: role("batch"),
            boundary_arn: policy("brevet-dev-boundary"),
            bare_arn: role("bare"),
            gone_arn: role("gone"),
            policy_arns: [policy("managed/brevet-dev-sync"), policy("managed/brevet-dev-report")],
            now,
            has_full_simulator: true,
        })
    }

    brevet_engine::principals_contract!(fixture());
}

mod on_memory_secrets {
    use super::*;

    async fn fixture() -> Option<rotator::Fixture> {
        let memory = Arc::new(MemorySecrets::new(clock(), Arc::new(Faults::none())));
        memory.add("bare");
        memory.set_up("bare", false);
        memory.add("set-up");
        Some(rotator::Fixture {
            rotator: memory,
            bare: "bare".to_owned(),
            gone: "gone".to_owned(),
            set_up: Some("set-up".to_owned()),
        })
    }

    brevet_engine::rotator_contract!(fixture());
}
