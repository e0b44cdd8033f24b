--
-- PostgreSQL database dump
--

\restrict JDfRJz9XoIVeNvANWgcKOJXGEfL4RIKWrAjnjHYpywcPRadm031yOYgzAAIh94u

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: Odd "Schema; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA "Odd ""Schema";


ALTER SCHEMA "Odd ""Schema" OWNER TO postgres;

--
-- Name: mood; Type: TYPE; Schema: public; Owner: postgres
--

CREATE TYPE public.mood AS ENUM (
    'sad',
    'ok'
);


ALTER TYPE public.mood OWNER TO postgres;

--
-- Name: f(integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.f(a integer) RETURNS text
    LANGUAGE plpgsql
    AS $_$
begin
  -- COMMIT;
  perform $q$ ; $$ ; $q$;
  if a = 1 then return 'it''s \'; end if;
  return E'x\'; COMMIT; --';
end
$_$;


ALTER FUNCTION public.f(a integer) OWNER TO postgres;

--
-- Name: FUNCTION f(a integer); Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON FUNCTION public.f(a integer) IS 'tab	here \.';


--
-- Name: g(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.g() RETURNS integer
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN true THEN 1
             ELSE 2
         END AS "case";
 SELECT 2 AS "end";
END;


ALTER FUNCTION public.g() OWNER TO postgres;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: users; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.users (
    id integer NOT NULL,
    name text,
    note text
);


ALTER TABLE public.users OWNER TO postgres;

--
-- Name: TABLE users; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON TABLE public.users IS 'a; comment -- with /* and \ and
COMMIT;
-- PostgreSQL database dump complete
';


--
-- Name: p(); Type: PROCEDURE; Schema: public; Owner: postgres
--

CREATE PROCEDURE public.p()
    LANGUAGE sql
    BEGIN ATOMIC
 DELETE FROM public.users
   WHERE (users.id = 1);
END;


ALTER PROCEDURE public.p() OWNER TO postgres;

--
-- Name: T;able; Type: TABLE; Schema: Odd "Schema; Owner: postgres
--

CREATE TABLE "Odd ""Schema"."T;able" (
    "a b" integer,
    "select" text
);


ALTER TABLE "Odd ""Schema"."T;able" OWNER TO postgres;

--
-- Name: empty; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.empty (
    x integer
);


ALTER TABLE public.empty OWNER TO postgres;

--
-- Name: mv; Type: MATERIALIZED VIEW; Schema: public; Owner: postgres
--

CREATE MATERIALIZED VIEW public.mv AS
 SELECT count(*) AS count
   FROM public.users
  WITH NO DATA;


ALTER TABLE public.mv OWNER TO postgres;

--
-- Name: nocols; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.nocols (
);


ALTER TABLE public.nocols OWNER TO postgres;

--
-- Name: s; Type: SEQUENCE; Schema: public; Owner: postgres
--

CREATE SEQUENCE public.s
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


ALTER TABLE public.s OWNER TO postgres;

--
-- Name: users_id_seq; Type: SEQUENCE; Schema: public; Owner: postgres
--

ALTER TABLE public.users ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.users_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: v; Type: VIEW; Schema: public; Owner: postgres
--

CREATE VIEW public.v AS
 SELECT users.id,
    users.name,
    users.note,
    '''; COMMIT; '::text AS c
   FROM public.users
  WHERE (users.name = 'x;y'::text);


ALTER TABLE public.v OWNER TO postgres;

--
-- Name: values; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public."values" (
    a text
);


ALTER TABLE public."values" OWNER TO postgres;

--
-- Name: 16428; Type: BLOB; Schema: -; Owner: postgres
--

SELECT pg_catalog.lo_create('16428');


ALTER LARGE OBJECT 16428 OWNER TO postgres;

--
-- Data for Name: T;able; Type: TABLE DATA; Schema: Odd "Schema; Owner: postgres
--

INSERT INTO "Odd ""Schema"."T;able" VALUES (1, 'it''s; a -- test /* x */ ');
INSERT INTO "Odd ""Schema"."T;able" VALUES (2, '\.
\.');


--
-- Data for Name: empty; Type: TABLE DATA; Schema: public; Owner: postgres
--



--
-- Data for Name: nocols; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.nocols DEFAULT VALUES;
INSERT INTO public.nocols DEFAULT VALUES;


--
-- Data for Name: users; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public.users OVERRIDING SYSTEM VALUE VALUES (1, 'O''Brien', 'back\slash 	 tab');
INSERT INTO public.users OVERRIDING SYSTEM VALUE VALUES (2, 'new
line', '\.');
INSERT INTO public.users OVERRIDING SYSTEM VALUE VALUES (3, NULL, '\N');
INSERT INTO public.users OVERRIDING SYSTEM VALUE VALUES (4, '\.', '');
INSERT INTO public.users OVERRIDING SYSTEM VALUE VALUES (5, 'é漢字𐐷', 'a\');
INSERT INTO public.users OVERRIDING SYSTEM VALUE VALUES (6, 'crx', 'end\');


--
-- Data for Name: values; Type: TABLE DATA; Schema: public; Owner: postgres
--

INSERT INTO public."values" VALUES ('select');
INSERT INTO public."values" VALUES ('(1),(2)');


--
-- Name: s; Type: SEQUENCE SET; Schema: public; Owner: postgres
--

SELECT pg_catalog.setval('public.s', 1, true);


--
-- Name: users_id_seq; Type: SEQUENCE SET; Schema: public; Owner: postgres
--

SELECT pg_catalog.setval('public.users_id_seq', 6, true);


--
-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: -
--

BEGIN;

SELECT pg_catalog.lo_open('16428', 131072);
SELECT pg_catalog.lowrite(0, '\x68656c6c6f');
SELECT pg_catalog.lo_close(0);

COMMIT;

--
-- Name: users users_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);


--
-- Name: values r; Type: RULE; Schema: public; Owner: postgres
--

CREATE RULE r AS
    ON UPDATE TO public."values" DO ( DELETE FROM public.empty;
 INSERT INTO public.empty (x)
  VALUES (1);
);


--
-- Name: mv; Type: MATERIALIZED VIEW DATA; Schema: public; Owner: postgres
--

REFRESH MATERIALIZED VIEW public.mv;


--
-- PostgreSQL database dump complete
--

\unrestrict JDfRJz9XoIVeNvANWgcKOJXGEfL4RIKWrAjnjHYpywcPRadm031yOYgzAAIh94u

