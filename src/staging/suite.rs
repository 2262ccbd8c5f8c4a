//! One suite for both stores: what the traits promise, tested on SQLite and on PostgreSQL alike.
//!
//! Every test gets a store of its own, opened through [`super::open`], and leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

mod balance;
mod batches;
mod cutting;
mod evidence;
mod files;
mod holds;
mod keeping;
mod kit;
mod looking;
mod migrating;
mod numbering;
mod purging;
mod sequences;
mod splitting;
mod supplements;

pub(crate) use kit::{Fixture, events};

/// Declares each test once per store.
macro_rules! suite {
    ($($module:ident: $($test:ident),* $(,)?;)*) => {
        mod sqlite {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$module::$test(&super::Fixture::sqlite().await).await;
            })*)*
        }

        mod postgres {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$module::$test(&super::Fixture::postgres().await).await;
            })*)*
        }
    };
}

suite! {
    keeping:
        an_event_is_kept_once,
        the_same_meaning_is_a_duplicate,
        other_content_is_kept_beside_the_first_with_an_alert,
        duplicates_and_conflicts_within_one_call_are_treated_alike,
        the_same_id_of_another_source_is_another_event,
        every_text_a_source_may_send_is_kept,
        writers_at_once_keep_each_event_once,
        quarantine_counts_the_same_bytes_once,
        a_quarantined_item_is_replayed_or_discarded_once,
        everything_is_there_after_reopening;
    numbering:
        rooms_and_persons_are_numbered_in_order_of_arrival,
        messages_are_numbered_per_room_and_alike_for_every_adapter,
        numbers_stay_without_gaps_when_writers_race;
    cutting:
        a_cut_takes_exactly_what_came_since_the_last,
        a_cut_must_move_forward,
        events_come_ordered_by_room_time_sequence_and_arrival,
        every_event_is_in_one_batch_while_writers_commit,
        a_lease_is_held_by_one_and_fences_the_one_before;
    batches:
        a_rendered_batch_stands_and_is_not_rendered_otherwise,
        a_batch_without_files_is_empty,
        the_first_recorded_workplace_stands,
        only_allowed_steps_are_taken,
        a_failed_batch_is_tried_again_and_passes_presence_on,
        outputs_are_collected_one_by_one,
        presence_is_that_of_the_last_batch_before,
        stale_leases_are_refused_everywhere;
    purging:
        only_what_every_adapter_has_finished_is_purged,
        an_open_batch_of_a_removed_adapter_blocks,
        a_purged_event_that_comes_again_is_known,
        a_conflict_that_outlives_the_first_content_is_known,
        captures_are_kept_once_and_released_with_their_last_event,
        what_a_crash_left_unswept_is_told_again,
        leftovers_go_with_their_events_and_no_sooner,
        a_large_purge_goes_slice_by_slice;
    holds:
        what_a_hold_covers_stays_until_it_is_released,
        a_hold_on_a_person_covers_what_that_person_wrote,
        two_holds_both_have_to_go,
        what_a_hold_may_cover_is_not_discarded,
        files_of_held_events_stay_referred_to,
        placing_a_hold_waits_for_the_purges_before_it,
        a_purge_whose_process_died_is_waited_for_until_its_time_is_out;
    sequences:
        a_gap_is_reported_and_closes_when_it_is_filled,
        what_overtakes_is_no_gap,
        a_duplicate_is_no_repeat_and_another_id_is,
        a_count_that_begins_again_withdraws_the_repeats_it_looked_like,
        a_heartbeat_tells_what_is_missing_at_the_end,
        what_is_quarantined_is_not_missing,
        a_finding_is_settled_once_with_an_act,
        writers_at_once_leave_no_gap;
    supplements:
        what_is_set_aside_becomes_a_supplement,
        a_supplement_is_a_batch_like_any_other,
        a_supplement_sees_presence_as_of_its_place,
        a_supplement_is_abandoned_with_an_act,
        what_a_supplement_sets_aside_is_the_next_ones,
        a_batch_without_files_may_leave_a_supplement,
        a_lost_lease_makes_no_supplement,
        a_wholly_failed_batch_tells_why_of_each_conversation;
    files:
        files_are_pending_until_they_are_captured,
        what_came_meanwhile_is_not_swept_before_its_time,
        a_late_file_follows_in_a_supplement,
        nothing_that_a_late_file_needs_is_purged,
        a_file_that_will_never_come_is_not_owed,
        a_conversation_that_is_set_aside_takes_its_files_along,
        files_are_told_and_follow_under_the_lease_alone;
    looking:
        batches_are_listed_oldest_first_and_cut_off_at_the_old_end,
        quarantined_items_are_listed_by_state_and_reason,
        alerts_open_count_and_close,
        an_alert_that_a_person_closes_is_closed_with_the_act,
        acts_are_listed_newest_first,
        totals_add_up;
    evidence:
        manifests_are_chained_by_adapter,
        a_manifest_is_recorded_once_with_its_batch,
        an_act_is_an_entry_if_it_is_carried_out,
        a_certificate_stands_as_it_was_first_recorded,
        copies_of_a_published_manifest_are_recorded_once,
        a_key_is_recorded_once,
        an_event_list_is_kept_until_it_is_written,
        events_without_a_room_are_found,
        the_log_has_no_gap_when_writers_race;
    balance:
        events_are_known_by_id_also_once_they_are_purged,
        ids_are_listed_by_source_and_time,
        events_are_counted_by_room_and_hour,
        rooms_are_counted_on_arrival_and_at_purge;
    splitting:
        any_split_gives_the_same_union;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_four_writers_two_adapters_200k() {
    cutting::race(&Fixture::postgres().await, &cutting::Race { events: 50_000, calls: [5000, 2000, 500, 50] }).await;
}
