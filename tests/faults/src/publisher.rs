//! The judge's publisher: persistent, mandatory, confirmed. What the broker did not confirm is published again, so a
//! connection that breaks makes duplicates and never losses.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, PublisherConfirm};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::error::{Outcome, said};
use crate::ledger::Ledger;
use crate::traffic::Message;

/// Bodies under way without a confirmation.
const WINDOW: usize = 256;
/// The longest a connection or a confirmation may take before the connection counts as broken.
const PATIENCE: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(150);
const PERSISTENT: u8 = 2;
const MEDIA_TYPE: &str = "application/cloudevents+json";

/// Where to publish.
#[derive(Debug, Clone)]
pub struct Target {
    /// The broker's address.
    pub url: String,
    /// The exchange.
    pub exchange: String,
}

/// What publishing took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Published {
    /// Bodies published again because their confirmation was lost.
    pub repeated: usize,
    /// Connections opened.
    pub connections: usize,
}

/// Publishes everything at its time, however often the broker goes away; ends when all is confirmed.
///
/// # Errors
/// When the ledger cannot be written, or the broker returns a message because no queue is bound.
pub async fn publish(target: &Target, ledger: &Arc<Ledger>, traffic: Vec<Message>) -> Outcome<Published> {
    let begun = Instant::now();
    let mut coming: VecDeque<Message> = traffic.into();
    // Published or about to be, in order; those without a confirmation to wait for must be sent.
    let mut window: VecDeque<(usize, Vec<u8>, Option<PublisherConfirm>)> = VecDeque::new();
    let mut link: Option<(Connection, Channel)> = None;
    let mut published = Published::default();
    while !coming.is_empty() || !window.is_empty() {
        let Some((_, channel)) = &link else {
            published.repeated += window.iter_mut().filter_map(|(_, _, confirm)| confirm.take()).count();
            match timeout(PATIENCE, connect(target)).await {
                Ok(Ok(opened)) => {
                    published.connections += 1;
                    link = Some(opened);
                }
                _ => sleep(PAUSE).await,
            }
            continue;
        };
        let due = coming.front().filter(|_| window.len() < WINDOW).map(|message| begun + message.due);
        let unsent = window.iter().position(|(_, _, confirm)| confirm.is_none());
        let step = if let Some(at) = unsent {
            send(channel, target, &window[at].1).await.map(|confirm| window[at].2 = Some(confirm))
        } else {
            tokio::select! {
                biased;
                settled = oldest(&mut window), if !window.is_empty() => match settled {
                    Some(Confirmation::Ack(None)) => {
                        if let Some((number, _, _)) = window.pop_front() {
                            ledger.confirm(number)?;
                        }
                        Some(())
                    }
                    Some(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => {
                        return said("the broker returned a message: no queue is bound to the exchange");
                    }
                    // Not kept by the broker: sent again.
                    Some(_) => {
                        if let Some(first) = window.front_mut() {
                            first.2 = None;
                        }
                        Some(())
                    }
                    None => None,
                },
                () = wait(due), if due.is_some() => {
                    if let Some(message) = coming.pop_front() {
                        let number = ledger.hand_over(message.nature, message.body.clone())?;
                        window.push_back((number, message.body, None));
                    }
                    Some(())
                }
            }
        };
        if step.is_none() {
            link = None;
        }
    }
    if let Some((connection, _)) = link {
        // Everything is confirmed: whether the farewell is heard does not matter.
        let _ = timeout(PATIENCE, connection.close(200, "done".into())).await;
    }
    Ok(published)
}

async fn wait(due: Option<Instant>) {
    if let Some(due) = due {
        sleep_until(due).await;
    }
}

/// The confirmation of the oldest body; `None` when it does not come.
async fn oldest(window: &mut VecDeque<(usize, Vec<u8>, Option<PublisherConfirm>)>) -> Option<Confirmation> {
    let (_, _, confirm) = window.front_mut()?;
    timeout(PATIENCE, confirm.as_mut()?).await.ok()?.ok()
}

async fn connect(target: &Target) -> Outcome<(Connection, Channel)> {
    let properties = ConnectionProperties::default().with_connection_name("judge".into());
    let connection = Connection::connect(&target.url, properties).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
}

async fn send(channel: &Channel, target: &Target, body: &[u8]) -> Option<PublisherConfirm> {
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let properties = BasicProperties::default().with_delivery_mode(PERSISTENT).with_content_type(MEDIA_TYPE.into());
    let sent = channel.basic_publish(target.exchange.as_str().into(), "events".into(), options, body, properties);
    timeout(PATIENCE, sent).await.ok()?.ok()
}
