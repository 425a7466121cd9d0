-- Who works at the bank, where, as what, and who stands in for whom. What ends stays, as not active.
CREATE SCHEMA access;

CREATE TABLE access.units (
    unit text PRIMARY KEY,  -- the path from the head office down: hq/east/0102
    parent text GENERATED ALWAYS AS (NULLIF(regexp_replace(unit, '/?[^/]*$', ''), '')) STORED
        REFERENCES access.units DEFERRABLE INITIALLY DEFERRED,
    name text NOT NULL,
    active boolean NOT NULL DEFAULT true,
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE access.staff (
    staff_id text PRIMARY KEY,  -- as profiles and acts name a person
    login text NOT NULL,  -- as whoever vouches for a person names him
    name text NOT NULL,
    role text NOT NULL,
    unit text NOT NULL REFERENCES access.units DEFERRABLE INITIALLY DEFERRED,
    active boolean NOT NULL DEFAULT true,
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT one_person_a_login EXCLUDE USING btree (login WITH =) WHERE (active) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ON access.staff (unit) WHERE active;

CREATE TABLE access.absences (
    staff_id text NOT NULL REFERENCES access.staff DEFERRABLE INITIALLY DEFERRED,
    first_day date NOT NULL,
    last_day date NOT NULL CHECK (last_day >= first_day),
    substitute text REFERENCES access.staff DEFERRABLE INITIALLY DEFERRED CHECK (substitute <> staff_id),
    active boolean NOT NULL DEFAULT true,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (staff_id, first_day)
);

-- Rights beside one's own, always with an end. Those of substitutes follow from absences (`absent` is set).
CREATE TABLE access.grants (
    grant_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    staff_id text NOT NULL REFERENCES access.staff DEFERRABLE INITIALLY DEFERRED,
    role text NOT NULL,
    unit text NOT NULL REFERENCES access.units DEFERRABLE INITIALLY DEFERRED,
    first_day date NOT NULL,
    last_day date NOT NULL CHECK (last_day >= first_day),
    absent text,
    absent_from date,
    given_by text NOT NULL,
    given_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    FOREIGN KEY (absent, absent_from) REFERENCES access.absences (staff_id, first_day) DEFERRABLE INITIALLY DEFERRED,
    CHECK ((absent IS NULL) = (absent_from IS NULL))
);
CREATE INDEX ON access.grants (staff_id, last_day) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX one_grant_an_absence ON access.grants (absent, absent_from) WHERE ended_at IS NULL;

-- Each list that was taken: by whom, and which bytes.
CREATE TABLE access.imports (
    import_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    list text NOT NULL,
    full_list boolean NOT NULL,
    as_of date,  -- of a full list
    sha256 text NOT NULL,
    rows integer NOT NULL,
    changed integer NOT NULL,
    actor text NOT NULL,
    imported_at timestamptz NOT NULL DEFAULT now()
);

-- Keys of kiosks, counters and the card system: by their digest, per unit, two at once while they are changed.
CREATE TABLE access.api_keys (
    key_id text PRIMARY KEY,
    role text NOT NULL,
    unit text NOT NULL,
    slot smallint NOT NULL CHECK (slot IN (1, 2)),
    digest bytea NOT NULL UNIQUE CHECK (length(digest) = 32),
    made_by text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    CHECK (expires_at > made_at)
);
CREATE UNIQUE INDEX two_keys_at_once ON access.api_keys (role, unit, slot) WHERE revoked_at IS NULL;

-- What is known of a session for longer than it lasts; what a request needs is elsewhere, and shorter.
CREATE TABLE access.sessions (
    session_id uuid PRIMARY KEY,
    staff_id text NOT NULL REFERENCES access.staff,
    issuer text NOT NULL,
    subject text NOT NULL,
    issuer_session text,
    begun_at timestamptz NOT NULL DEFAULT now(),
    ends_at timestamptz NOT NULL,
    ended_at timestamptz,
    ended_by text,
    CHECK (ends_at > begun_at)
);
CREATE INDEX ON access.sessions (issuer, subject) WHERE ended_at IS NULL;
CREATE INDEX ON access.sessions (issuer, issuer_session) WHERE ended_at IS NULL;
