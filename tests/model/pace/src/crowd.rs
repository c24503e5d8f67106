//! Many grants of one kind: copies of one grant that the use cases made.

use brevet_domain::grant::{Delivery, Grant, State};
use brevet_domain::id::GrantId;
use brevet_domain::time::Timestamp;
use brevet_engine::port::AttachmentTarget;
use brevet_sim::op::Op;
use brevet_sim::world::{Model, World};
use ulid::Ulid;

/// The number of inline policies on one principal.
const PER_PRINCIPAL: u64 = 10;

/// A world in which one inline attachment was made and has ended.
pub struct Pattern {
    pub world: World,
    active: Grant,
    document: String,
    ended: Grant,
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pattern").field("active", &self.active.id).finish_non_exhaustive()
    }
}

impl Pattern {
    /// Makes the grant by the use cases, and ends it.
    ///
    /// # Panics
    ///
    /// If the use cases do not make it and end it.
    #[must_use]
    pub fn new() -> Self {
        let mut world = World::new(Model::default());
        for op in [Op::Reap { other: false }, Op::Ask { who: "bot", what: "batch" }, Op::Issue, Op::Ticks { n: 3 }] {
            world.play(&op);
        }
        let id = world.nth(0).expect("a grant");
        let active = world.grant(id).expect("a grant");
        assert!(matches!(active.state, State::Active { .. }), "{:?}", active.state);
        let document =
            AttachmentTarget::of(&active).and_then(|target| world.principals.standing(&target)).expect("a policy");
        world.play(&Op::Ticks { n: 20 });
        let ended = world.grant(id).expect("a grant");
        assert!(matches!(ended.state, State::Ended { .. }), "{:?}", ended.state);
        Self { world, active, document, ended }
    }

    /// Adds the `n`th attachment, live and due at `deadline`.
    ///
    /// # Panics
    ///
    /// If the pattern is not an inline attachment.
    pub fn attach(&self, n: u64, deadline: Timestamp) -> GrantId {
        let (id, arn) = (id(1, n), format!("arn:aws:iam::000000000000:role/legacy/batch-{}", n / PER_PRINCIPAL));
        let mut grant = self.copy(&self.active, id, &arn);
        let State::Active { deadline: ends_at, next_check_at, .. } = &mut grant.state else { panic!("not live") };
        (*ends_at, *next_check_at) = (deadline, None);
        if n.is_multiple_of(PER_PRINCIPAL) {
            self.world.principals.add(&arn, Some(&self.world.deployment.boundary_arn()));
        }
        self.world.principals.tamper(&AttachmentTarget::of(&grant).expect("a target"), Some(&self.document));
        self.world.store.overwrite(grant);
        id
    }

    /// Adds the `n`th ended attachment.
    pub fn end(&self, n: u64) {
        self.world.store.overwrite(self.copy(&self.ended, id(2, n), "arn:aws:iam::000000000000:role/legacy/gone"));
    }

    fn copy(&self, pattern: &Grant, id: GrantId, principal_arn: &str) -> Grant {
        let Delivery::Inline { probes, .. } = &pattern.delivery else { panic!("the pattern is not an inline policy") };
        let (principal_arn, policy_name) = (principal_arn.to_owned(), self.world.deployment.inline_policy_name(id));
        let delivery = Delivery::Inline { principal_arn, policy_name, probes: probes.clone(), n_untried: 0 };
        Grant { id, delivery, ..pattern.clone() }
    }
}

impl Default for Pattern {
    fn default() -> Self {
        Self::new()
    }
}

fn id(kind: u64, n: u64) -> GrantId {
    GrantId::from_ulid(Ulid::from_parts(kind, u128::from(n)))
}
