-- serves: 2
-- How often unread messages were taken out of a bucket; NULL, as of code of before, says that its owner does not look at
-- it, so that nothing may be taken.
ALTER TABLE {prefix}bucket ADD COLUMN taken INTEGER;
-- How often its job had been handed over when it was pushed; NULL: pushed by code of before, which did not count.
ALTER TABLE {prefix}message ADD COLUMN placed INTEGER;
