//! What a peer's task keeps: one durable write for everything that one gathering changed (R6.4).

use super::{NotKept, Peer, Rows};
use crate::{
    node::{
        ended,
        routing::RouterTurn,
        rows::{address_key, contract_key, payment_key, store_key, transfer_key},
        slot::Slot,
        withdrawals,
    },
    store::{Batch, Table},
};
use channel::ChannelRef;
use scale::Encode;

impl Peer {
    /// Writes what has changed, and what the router has to keep because of it.
    pub(super) async fn commit(&mut self, turn: Option<RouterTurn<'_>>) -> Result<(), NotKept> {
        let (changed, withdrawn) = (std::mem::take(&mut self.changed), std::mem::take(&mut self.withdrawn));
        // Where nothing is kept, the router's rows are not either.
        let Some(store) = self.config.store() else {
            self.note_withdrawn(withdrawn);
            return Ok(());
        };
        if changed.is_empty() && withdrawn.is_empty() && !turn.as_ref().is_some_and(RouterTurn::has_rows) {
            turn.map(RouterTurn::leave).unwrap_or_default();
            return Ok(());
        }
        let mut batch = Batch::default();
        for (id, one) in &withdrawn {
            batch = match one {
                Some(one) => batch.put(Table::Meta, withdrawals::key(id), one.row()),
                None => batch.delete(Table::Meta, withdrawals::key(id)),
            };
        }
        if std::mem::take(&mut self.address_changed)
            && let Some(address) = self.redial.address()
        {
            batch = batch.put(Table::Meta, address_key(&self.identity), address.to_string());
            self.has_address_row = true;
        }
        for (reference, Rows { contracts, payments, transfers }) in changed {
            // What is damaged stays as it is.
            if self.damaged.contains(&reference) {
                continue;
            }
            let Some(slot) = self.slots.get_mut(&reference) else { continue };
            let key = store_key(&self.identity, reference);
            // It had an id on chain, and has none any more.
            if !slot.is_kept && slot.id.is_some() && slot.channel.channel_id().is_none() {
                let rows = contracts.iter().map(|id| (*id, contract_key(&key, id)));
                batch = ended::keep(store, batch, self.head, &key, rows).map_err(NotKept)?;
                slot.is_kept = true;
            }
            for id in contracts {
                let row = contract_key(&key, &id);
                batch = match slot.channel.contract(&id) {
                    Some(contract) => batch.put(Table::Contracts, row, contract.encode()),
                    None => batch.delete(Table::Contracts, row),
                };
            }
            for id in payments {
                let row = payment_key(&key, id);
                batch = match slot.channel.kept_payments().get(&id) {
                    Some(record) => batch.put(Table::Payments, row, record.encode()),
                    None => batch.delete(Table::Payments, row),
                };
            }
            for id in transfers {
                let row = transfer_key(&key, id);
                batch = match slot.channel.transfer(id) {
                    Some(transfer) => batch.put(Table::Transfers, row, transfer.encode()),
                    None => batch.delete(Table::Transfers, row),
                };
            }
            batch = batch.put(Table::Channels, key, slot.channel.save());
            slot.is_stored = true;
        }
        self.config.processors.note_commit();
        let kept = match turn {
            Some(turn) => turn.commit(store, batch).await,
            None => store.commit(batch).await,
        };
        kept.map_err(NotKept)?;
        self.note_withdrawn(withdrawn);
        Ok(())
    }

    /// Channels that have ended leave the store and the task.
    pub(super) async fn forget_closed(&mut self) -> Result<(), NotKept> {
        let has_rows = |slot: &Slot| slot.channel.transfer_ids().next().is_some();
        let (kept, ended): (Vec<_>, Vec<_>) = std::mem::take(&mut self.ended)
            .into_iter()
            .partition(|reference| self.slots.get(reference).is_some_and(has_rows));
        // Their router still has to know what came of them.
        self.ended = kept;
        if ended.is_empty() {
            return Ok(());
        }
        let mut batch = None;
        for reference in ended {
            batch = self.forget(reference, batch);
        }
        if self.by_id.is_empty() {
            self.follower.need_no_blocks();
        }
        if self.slots.is_empty() && self.damaged.is_empty() {
            // Nobody needs the peer any more; its address is noted again with the next channel.
            self.estrange();
            self.redial.give_up();
            self.address_changed = self.redial.address().is_some();
            if std::mem::take(&mut self.has_address_row) {
                batch = Some(batch.unwrap_or_default().delete(Table::Meta, address_key(&self.identity)));
            }
        }
        match self.config.store().zip(batch) {
            Some((store, batch)) => store.commit(batch).await.map_err(NotKept),
            None => Ok(()),
        }
    }

    /// Forgets a channel, and has its rows erased, where it has any: none is stored of what this side has never signed.
    fn forget(&mut self, reference: ChannelRef, batch: Option<Batch>) -> Option<Batch> {
        let Some(slot) = self.slots.remove(&reference) else { return batch };
        match slot.transit.is_known {
            true => self.heard.push(network::RouterInput::ChannelClosed(self.routing.at(reference))),
            false => self.routing.free_name(reference),
        }
        if let Some(id) = slot.id.filter(|id| self.by_id.get(id) == Some(&reference)) {
            let _was_there = self.by_id.remove(&id);
            if let Some(peers) = self.peers.upgrade() {
                let _was_known = peers.channels().remove(&id);
            }
        }
        if !slot.is_stored {
            return batch;
        }
        let (key, mut batch) = (store_key(&self.identity, reference), batch.unwrap_or_default());
        // What is damaged stays as it is.
        let is_damaged = self.damaged.contains(&reference);
        for id in
            slot.channel.contracts().filter(|_| !is_damaged).into_iter().flat_map(|all| all.iter()).map(|(id, _)| id)
        {
            batch = batch.delete(Table::Contracts, contract_key(&key, id));
        }
        for id in slot.channel.kept_payments().keys() {
            batch = batch.delete(Table::Payments, payment_key(&key, *id));
        }
        Some(if is_damaged { batch } else { batch.delete(Table::Channels, key) })
    }
}
