-- Where a rendered batch's temporary files lie: the share's id and the directory below `.inprogress`. Both are
-- empty for a batch that an earlier version rendered; its files lie in `.inprogress` itself.
alter table batches add column share text not null default '';
alter table batches add column workplace text not null default '';
