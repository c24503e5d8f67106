//! Routes of the kill switch and of acknowledging overdue grants.

use brevet_api::answer::OverdueAnswer;
use brevet_api::read;
use brevet_api::revocation::{RevocationList, RevocationView};
use brevet_domain::revocation::RevocationAction;
use brevet_engine::evaluate::revoke::KnownBlock;
use brevet_lambda::answer::{Answer, Failure};
use brevet_lambda::http::Call;

use super::Handler;

impl Handler {
    pub(super) async fn revoke(&self, call: &Call) -> Result<Answer, Failure> {
        let proof = call.proof()?;
        read::no_query(&call.query)?;
        let read::RevocationBody { scope, reason } = read::revocation(call.body())?;
        let known = self.kill_switch.act(&proof, RevocationAction::Placed, &scope, &reason, self.clock.now()).await?;
        Ok(Answer::json(200, &view(&known)))
    }

    pub(super) async fn lift(&self, call: &Call) -> Result<Answer, Failure> {
        let proof = call.proof()?;
        read::no_query(&call.query)?;
        let (scope, reason) = (read::revocation_key(call.id.as_deref())?, read::lift(call.body())?);
        let known = self.kill_switch.act(&proof, RevocationAction::Lifted, &scope, &reason, self.clock.now()).await?;
        Ok(Answer::json(200, &view(&known)))
    }

    pub(super) async fn acknowledge(&self, call: &Call) -> Result<Answer, Failure> {
        let proof = call.proof()?;
        read::no_query(&call.query)?;
        let (id, reason) = (call.grant_id()?, read::lift(call.body())?);
        let grant = self.acknowledging.acknowledge(&proof, id, &reason, self.clock.now()).await?;
        Ok(Answer::json(200, &OverdueAnswer::of(&grant)).about(id))
    }

    pub(super) async fn revocation(&self, call: &Call) -> Result<Answer, Failure> {
        let proof = call.proof()?;
        read::no_query(&call.query)?;
        let scope = read::revocation_key(call.id.as_deref())?;
        let (known, history) = self.kill_switch.read(&proof, &scope, self.clock.now()).await?;
        Ok(Answer::json(200, &RevocationView::of(&known.latest, known.progress.as_ref(), &history)))
    }

    pub(super) async fn revocations(&self, call: &Call) -> Result<Answer, Failure> {
        let proof = call.proof()?;
        let read::PageQuery { cursor, limit } = read::revocations_query(&call.query)?;
        let page = self.kill_switch.list(&proof, cursor.as_deref(), limit, self.clock.now()).await?;
        let revocations = page.known.iter().map(view).collect();
        Ok(Answer::json(200, &RevocationList { revocations, next: page.next }))
    }
}

fn view(known: &KnownBlock) -> RevocationView {
    RevocationView::of(&known.latest, known.progress.as_ref(), &[])
}
