BEGIN TRANSACTION;
CREATE TABLE access (
	storage_id INTEGER NOT NULL, 
	zone VARCHAR NOT NULL, 
	root VARCHAR NOT NULL, 
	read INTEGER NOT NULL, 
	write INTEGER NOT NULL, 
	"delete" INTEGER NOT NULL, 
	credential VARCHAR NOT NULL, 
	options JSON NOT NULL, 
	CONSTRAINT pk_access PRIMARY KEY (storage_id, zone, root), 
	CONSTRAINT fk_access_storage_id FOREIGN KEY(storage_id) REFERENCES storages (id)
);
INSERT INTO "access" VALUES(1,'lab','file:///data',1,1,1,'','{}');
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0007');
CREATE TABLE deletions (
	id INTEGER NOT NULL, 
	file_id INTEGER NOT NULL, 
	storage_id INTEGER NOT NULL, 
	path VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	last_copy BOOLEAN NOT NULL, 
	worker VARCHAR DEFAULT '' NOT NULL, 
	lease_until_s FLOAT DEFAULT '0' NOT NULL, 
	not_before_s FLOAT DEFAULT '0' NOT NULL, 
	fence INTEGER DEFAULT '0' NOT NULL, 
	error VARCHAR DEFAULT '' NOT NULL, 
	changed_at_s FLOAT NOT NULL, 
	CONSTRAINT pk_deletions PRIMARY KEY (id), 
	CONSTRAINT fk_deletions_file_id FOREIGN KEY(file_id) REFERENCES files (id), 
	CONSTRAINT fk_deletions_storage_id FOREIGN KEY(storage_id) REFERENCES storages (id)
);
CREATE TABLE events (
	id INTEGER NOT NULL, 
	at_s FLOAT NOT NULL, 
	kind VARCHAR NOT NULL, 
	file_id INTEGER, 
	storage_id INTEGER, 
	product_id INTEGER, 
	detail VARCHAR NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (id)
);
INSERT INTO "events" VALUES(1,1.7953305074370191097e+09,'storage added',NULL,1,NULL,'');
INSERT INTO "events" VALUES(2,1.79533050743899059292e+09,'storage added',NULL,2,NULL,'');
INSERT INTO "events" VALUES(3,1.79533050744699692723e+09,'access changed',NULL,1,NULL,'lab: file:///data');
INSERT INTO "events" VALUES(4,1.79533050745198583604e+09,'registered',NULL,NULL,NULL,'2 files, 2 replicas, 1 products');
INSERT INTO "events" VALUES(5,1.79533050750098967553e+09,'transfer queued',2,2,NULL,'');
INSERT INTO "events" VALUES(6,1.79533050751800823214e+09,'pinned',2,NULL,NULL,'run-1');
CREATE TABLE file_checksums (
	file_id INTEGER NOT NULL, 
	checksums JSON NOT NULL, 
	declared JSON NOT NULL, 
	CONSTRAINT pk_file_checksums PRIMARY KEY (file_id), 
	CONSTRAINT fk_file_checksums_file_id FOREIGN KEY(file_id) REFERENCES files (id)
)
 WITHOUT ROWID

;
INSERT INTO "file_checksums" VALUES(1,'{"adler32":"0000abcd"}','[]');
INSERT INTO "file_checksums" VALUES(2,'{"adler32":"0000abcd"}','[]');
CREATE TABLE files (
	id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	size BIGINT NOT NULL, 
	state VARCHAR NOT NULL, 
	event_id INTEGER NOT NULL, 
	CONSTRAINT pk_files PRIMARY KEY (id), 
	CONSTRAINT fk_files_event_id FOREIGN KEY(event_id) REFERENCES events (id), 
	CONSTRAINT uq_files_name UNIQUE (name)
);
INSERT INTO "files" VALUES(1,'P1.xml',10,'committed',4);
INSERT INTO "files" VALUES(2,'a.fits',10,'committed',4);
CREATE TABLE pins (
	file_id INTEGER NOT NULL, 
	owner VARCHAR NOT NULL, 
	until_s FLOAT, 
	CONSTRAINT pk_pins PRIMARY KEY (file_id, owner), 
	CONSTRAINT fk_pins_file_id FOREIGN KEY(file_id) REFERENCES files (id)
)
 WITHOUT ROWID

;
INSERT INTO "pins" VALUES(2,'run-1',NULL);
CREATE TABLE product_files (
	product_id INTEGER NOT NULL, 
	ordinal INTEGER NOT NULL, 
	file_id INTEGER NOT NULL, 
	xpath VARCHAR NOT NULL, 
	format VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	CONSTRAINT pk_product_files PRIMARY KEY (product_id, ordinal), 
	CONSTRAINT fk_product_files_file_id FOREIGN KEY(file_id) REFERENCES files (id), 
	CONSTRAINT fk_product_files_product_id FOREIGN KEY(product_id) REFERENCES products (id)
)
 WITHOUT ROWID

;
INSERT INTO "product_files" VALUES(1,0,2,'','','');
CREATE TABLE product_links (
	product_id INTEGER NOT NULL, 
	role VARCHAR NOT NULL, 
	target VARCHAR NOT NULL, 
	CONSTRAINT pk_product_links PRIMARY KEY (product_id, role, target), 
	CONSTRAINT fk_product_links_product_id FOREIGN KEY(product_id) REFERENCES products (id)
)
 WITHOUT ROWID

;
CREATE TABLE product_values (
	product_id INTEGER NOT NULL, 
	path VARCHAR NOT NULL, 
	ordinal INTEGER NOT NULL, 
	text VARCHAR NOT NULL, 
	number FLOAT, 
	CONSTRAINT pk_product_values PRIMARY KEY (product_id, path, ordinal), 
	CONSTRAINT fk_product_values_product_id FOREIGN KEY(product_id) REFERENCES products (id)
)
 WITHOUT ROWID

;
INSERT INTO "product_values" VALUES(1,'Data.TileIndex',0,'90346',90346.0);
CREATE TABLE products (
	id INTEGER NOT NULL, 
	product_id VARCHAR NOT NULL, 
	type VARCHAR NOT NULL, 
	namespace VARCHAR NOT NULL, 
	release VARCHAR NOT NULL, 
	header JSON NOT NULL, 
	xml_file_id INTEGER NOT NULL, 
	event_id INTEGER NOT NULL, 
	CONSTRAINT pk_products PRIMARY KEY (id), 
	CONSTRAINT fk_products_event_id FOREIGN KEY(event_id) REFERENCES events (id), 
	CONSTRAINT fk_products_xml_file_id FOREIGN KEY(xml_file_id) REFERENCES files (id), 
	CONSTRAINT uq_products_product_id UNIQUE (product_id)
);
INSERT INTO "products" VALUES(1,'P1','DpdVisRawFrame','','DR1','{"DataSetRelease": "DR1"}',1,4);
CREATE TABLE quotas (
	storage_id INTEGER NOT NULL, 
	owner VARCHAR NOT NULL, 
	limit_bytes BIGINT NOT NULL, 
	CONSTRAINT pk_quotas PRIMARY KEY (storage_id, owner), 
	CONSTRAINT fk_quotas_storage_id FOREIGN KEY(storage_id) REFERENCES storages (id)
);
CREATE TABLE replicas (
	file_id INTEGER NOT NULL, 
	storage_id INTEGER NOT NULL, 
	path VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	adopted BOOLEAN NOT NULL, 
	mtime_ns BIGINT, 
	checked_at_s FLOAT NOT NULL, 
	event_id INTEGER NOT NULL, 
	CONSTRAINT pk_replicas PRIMARY KEY (file_id, storage_id), 
	CONSTRAINT fk_replicas_event_id FOREIGN KEY(event_id) REFERENCES events (id), 
	CONSTRAINT fk_replicas_file_id FOREIGN KEY(file_id) REFERENCES files (id), 
	CONSTRAINT fk_replicas_storage_id FOREIGN KEY(storage_id) REFERENCES storages (id), 
	CONSTRAINT uq_replicas_storage_id_path UNIQUE (storage_id, path)
)
 WITHOUT ROWID

;
INSERT INTO "replicas" VALUES(1,1,'raw/P1.xml','available',0,NULL,1.0,4);
INSERT INTO "replicas" VALUES(2,1,'raw/a.fits','available',0,NULL,1.0,4);
CREATE TABLE rule_stuck (
	rule_id INTEGER NOT NULL, 
	file_id INTEGER NOT NULL, 
	reason VARCHAR NOT NULL, 
	CONSTRAINT pk_rule_stuck PRIMARY KEY (rule_id, file_id), 
	CONSTRAINT fk_rule_stuck_file_id FOREIGN KEY(file_id) REFERENCES files (id), 
	CONSTRAINT fk_rule_stuck_rule_id FOREIGN KEY(rule_id) REFERENCES rules (id)
)
 WITHOUT ROWID

;
CREATE TABLE rule_targets (
	rule_id INTEGER NOT NULL, 
	file_id INTEGER NOT NULL, 
	storage_id INTEGER NOT NULL, 
	state VARCHAR NOT NULL, 
	error VARCHAR DEFAULT '' NOT NULL, 
	CONSTRAINT pk_rule_targets PRIMARY KEY (rule_id, file_id, storage_id), 
	CONSTRAINT fk_rule_targets_file_id FOREIGN KEY(file_id) REFERENCES files (id), 
	CONSTRAINT fk_rule_targets_rule_id FOREIGN KEY(rule_id) REFERENCES rules (id), 
	CONSTRAINT fk_rule_targets_storage_id FOREIGN KEY(storage_id) REFERENCES storages (id)
)
 WITHOUT ROWID

;
CREATE TABLE rules (
	id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	content JSON NOT NULL, 
	until_s FLOAT, stale BOOLEAN DEFAULT 1 NOT NULL, 
	CONSTRAINT pk_rules PRIMARY KEY (id), 
	CONSTRAINT uq_rules_name UNIQUE (name)
);
ANALYZE "sqlite_master";
INSERT INTO "sqlite_stat1" VALUES('storages','sqlite_autoindex_storages_1','2 1');
INSERT INTO "sqlite_stat1" VALUES('products','ix_products_xml_file_id','1 1');
INSERT INTO "sqlite_stat1" VALUES('products','ix_products_type_product_id','1 1 1');
INSERT INTO "sqlite_stat1" VALUES('products','ix_products_type_release_product_id','1 1 1 1');
INSERT INTO "sqlite_stat1" VALUES('products','sqlite_autoindex_products_1','1 1');
INSERT INTO "sqlite_stat1" VALUES('transfers','ix_transfers_awaited','1 1 1 1');
INSERT INTO "sqlite_stat1" VALUES('transfers','ix_transfers_file_id','1 1');
INSERT INTO "sqlite_stat1" VALUES('transfers','uq_transfers_active','1 1 1');
INSERT INTO "sqlite_stat1" VALUES('transfers','ix_transfers_waiting','1 1 1');
INSERT INTO "sqlite_stat1" VALUES('product_values','ix_product_values_path_text','1 1 1');
INSERT INTO "sqlite_stat1" VALUES('product_values','ix_product_values_path_number','1 1 1');
INSERT INTO "sqlite_stat1" VALUES('product_values','product_values','1 1 1 1');
INSERT INTO "sqlite_stat1" VALUES('alembic_version','sqlite_autoindex_alembic_version_1','1 1');
INSERT INTO "sqlite_stat1" VALUES('events','ix_events_file_id','2 2');
INSERT INTO "sqlite_stat1" VALUES('events',NULL,'6');
INSERT INTO "sqlite_stat1" VALUES('file_checksums','file_checksums','2 1 1');
INSERT INTO "sqlite_stat1" VALUES('files','sqlite_autoindex_files_1','2 1');
INSERT INTO "sqlite_stat1" VALUES('access','sqlite_autoindex_access_1','1 1 1 1');
INSERT INTO "sqlite_stat1" VALUES('pins','ix_pins_owner','1 1');
INSERT INTO "sqlite_stat1" VALUES('pins','pins','1 1 1');
INSERT INTO "sqlite_stat1" VALUES('replicas','ix_replicas_storage_id_state','2 2 2');
INSERT INTO "sqlite_stat1" VALUES('replicas','sqlite_autoindex_replicas_2','2 2 1');
INSERT INTO "sqlite_stat1" VALUES('replicas','replicas','2 1 1');
INSERT INTO "sqlite_stat1" VALUES('product_files','ix_product_files_file_id_product_id','1 1 1');
INSERT INTO "sqlite_stat1" VALUES('product_files','product_files','1 1 1');
CREATE TABLE storages (
	id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	marker VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	durable BOOLEAN NOT NULL, 
	one_writer BOOLEAN NOT NULL, 
	labels JSON NOT NULL, 
	paused_until_s FLOAT DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_storages PRIMARY KEY (id), 
	CONSTRAINT uq_storages_name UNIQUE (name)
);
INSERT INTO "storages" VALUES(1,'A','a','enabled',1,0,'{"country": "CH"}',0.0);
INSERT INTO "storages" VALUES(2,'B','b','enabled',1,0,'{}',0.0);
CREATE TABLE transfers (
	id INTEGER NOT NULL, 
	file_id INTEGER NOT NULL, 
	destination_id INTEGER NOT NULL, 
	state VARCHAR NOT NULL, 
	rank INTEGER DEFAULT '0' NOT NULL, 
	worker VARCHAR DEFAULT '' NOT NULL, 
	lease_until_s FLOAT DEFAULT '0' NOT NULL, 
	not_before_s FLOAT DEFAULT '0' NOT NULL, 
	fence INTEGER DEFAULT '0' NOT NULL, 
	attempts INTEGER DEFAULT '0' NOT NULL, 
	bytes_copied BIGINT DEFAULT '0' NOT NULL, 
	method VARCHAR DEFAULT '' NOT NULL, 
	error_class VARCHAR DEFAULT '' NOT NULL, 
	error VARCHAR DEFAULT '' NOT NULL, 
	changed_at_s FLOAT NOT NULL, 
	CONSTRAINT pk_transfers PRIMARY KEY (id), 
	CONSTRAINT fk_transfers_destination_id FOREIGN KEY(destination_id) REFERENCES storages (id), 
	CONSTRAINT fk_transfers_file_id FOREIGN KEY(file_id) REFERENCES files (id)
);
INSERT INTO "transfers" VALUES(1,2,2,'queued',0,'',0.0,0.0,0,0,0,'','','',1.79533050749998378758e+09);
CREATE INDEX ix_events_file_id ON events (file_id) WHERE file_id IS NOT NULL;
CREATE UNIQUE INDEX uq_deletions_open ON deletions (file_id, storage_id) WHERE state IN ('queued', 'running');
CREATE INDEX ix_pins_owner ON pins (owner);
CREATE INDEX ix_products_type_release_product_id ON products (type, release, product_id);
CREATE INDEX ix_rule_targets_file_id_storage_id ON rule_targets (file_id, storage_id);
CREATE INDEX ix_transfers_held ON transfers (lease_until_s) WHERE state IN ('running', 'publishing');
CREATE INDEX ix_transfers_waiting ON transfers (rank, id) WHERE state IN ('queued', 'retry');
CREATE UNIQUE INDEX uq_transfers_active ON transfers (file_id, destination_id) WHERE state IN ('queued', 'running', 'publishing', 'retry');
CREATE INDEX ix_product_links_target ON product_links (target);
CREATE INDEX ix_product_values_path_number ON product_values (path, number) WHERE number IS NOT NULL;
CREATE INDEX ix_product_values_path_text ON product_values (path, text);
CREATE INDEX ix_products_type_product_id ON products (type, product_id);
CREATE INDEX ix_rule_stuck_file_id ON rule_stuck (file_id);
CREATE INDEX ix_transfers_file_id ON transfers (file_id);
CREATE INDEX ix_deletions_file_id ON deletions (file_id);
CREATE INDEX ix_deletions_waiting ON deletions (not_before_s, id) WHERE state IN ('queued');
CREATE INDEX ix_deletions_held ON deletions (lease_until_s) WHERE state IN ('running');
CREATE INDEX ix_replicas_storage_id_state ON replicas (storage_id, state);
CREATE INDEX ix_products_xml_file_id ON products (xml_file_id);
CREATE INDEX ix_product_files_file_id_product_id ON product_files (file_id, product_id);
CREATE INDEX ix_transfers_awaited ON transfers (destination_id, rank, id) WHERE state IN ('queued', 'retry');
COMMIT;
