/*
 * The whole of libxml2, libxslt and libexslt that Chancery uses, behind a dozen functions without a
 * struct layout in their signatures. Nothing here prints, opens a file or reaches the network: files
 * come from the loader that chy_init was given, and what goes wrong is written into the call's log.
 *
 * Both libraries keep process-wide handlers, so every function that takes a call must run under one
 * lock, with that call made current by chy_call_new. safe.rs owns the lock.
 */
#include <limits.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <libexslt/exslt.h>
#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/xmlerror.h>
#include <libxml/xmlmemory.h>
#include <libxml/xmlschemas.h>
#include <libxml/xmlschemastypes.h>
#include <libxml/xpath.h>
#include <libxslt/documents.h>
#include <libxslt/imports.h>
#include <libxslt/security.h>
#include <libxslt/transform.h>
#include <libxslt/variables.h>
#include <libxslt/xslt.h>
#include <libxslt/xsltInternals.h>
#include <libxslt/xsltutils.h>

/*
 * A record of the log: kind, code, line, file, place, text. The kinds are E, an error; W, a warning; M, words of
 * xsl:message; D, a declared parameter; P, what a template cost. XML allows none of these characters, so no text
 * holds one.
 */
#define FIELD '\x1f'
#define RECORD '\x1e'
#define PART '\x1d'
#define LOG_MAX (256 * 1024)
#define TEXT_MAX (16 * 1024)
/* Records that say which message was being worked on; a flood of them would count siblings for ever. */
#define PLACES_MAX 200
#define EXTENSION_NAMESPACE BAD_CAST "urn:chancery:1"

#define INPUT_OPTIONS (XML_PARSE_NONET | XML_PARSE_HUGE | XML_PARSE_COMPACT | XML_PARSE_BIG_LINES)
/* A stylesheet may name characters by entities of its own; external ones are refused by the loader. */
#define SHEET_OPTIONS (XML_PARSE_NONET | XML_PARSE_NOENT | XML_PARSE_NOCDATA | XML_PARSE_BIG_LINES)

#if LIBXML_VERSION >= 21200
typedef const xmlError *error_ptr;
#else
typedef xmlErrorPtr error_ptr;
#endif

enum { OUTCOME_DONE = 0, OUTCOME_INPUT = 1, OUTCOME_RUN = 2, OUTCOME_SAVE = 3, OUTCOME_INVALID = 4 };

typedef struct chy_call chy_call;
/* Fetches a file for the call: 0 when chy_call_put was given its bytes, else chy_call_refuse why not. */
typedef int (*chy_load)(void *user, chy_call *call, const char *uri);

struct chy_call {
    void *user;
    int refused;
    char *log;
    size_t log_len;
    size_t log_cap;
    uint64_t dropped;
    uint8_t *loaded;
    size_t loaded_len;
    int header;
    char *header_file;
    int header_line;
    /* Why the file just asked for was not given. */
    char *refusal;
    /* That, until libxslt tells which xsl:import or xsl:include asked for it. */
    char *pending;
    /* The running transform. */
    xsltTransformContextPtr context;
    int places;
};

typedef struct {
    xmlSchemaPtr schema;
    xmlDocPtr doc;
} chy_schema;

static chy_load load_file;
static chy_call *current;
static int exhausted_code;

/* ---- memory --------------------------------------------------------------------------------- */

/* libxml2 and libxslt do not survive every failed allocation, so the process does not try to. */
static void *checked_malloc(size_t size) {
    void *block = malloc(size);
    if (block == NULL && size != 0) _exit(exhausted_code);
    return block;
}

static void *checked_realloc(void *old, size_t size) {
    void *block = realloc(old, size);
    if (block == NULL && size != 0) _exit(exhausted_code);
    return block;
}

static char *checked_strdup(const char *text) {
    size_t size = strlen(text) + 1;
    return memcpy(checked_malloc(size), text, size);
}

/* Returns freed memory to the system; a tree of many small blocks would stay with the process otherwise. */
void chy_release_memory(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

int chy_exit_when_exhausted(int code) {
    exhausted_code = code;
    return xmlMemSetup(free, checked_malloc, checked_realloc, checked_strdup);
}

/* ---- log ------------------------------------------------------------------------------------ */

static void append(chy_call *call, const char *text, size_t len) {
    if (call->log_cap - call->log_len < len) {
        size_t cap = (call->log_len + len) * 2;
        char *log = xmlRealloc(call->log, cap);
        if (log == NULL) return;
        call->log = log;
        call->log_cap = cap;
    }
    memcpy(call->log + call->log_len, text, len);
    call->log_len += len;
}

static void append_attribute(chy_call *call, xmlNodePtr node, const char *name, const xmlChar *namespace) {
    xmlChar *value = namespace == NULL ? xmlGetNoNsProp(node, BAD_CAST name) : xmlGetNsProp(node, BAD_CAST name, namespace);
    if (value != NULL) append(call, (const char *)value, strnlen((const char *)value, 300));
    xmlFree(value);
    append(call, (char[]){PART}, 1);
}

static int is_element(xmlNodePtr node, const char *name) {
    return node->type == XML_ELEMENT_NODE && node->ns == NULL && xmlStrEqual(node->name, BAD_CAST name);
}

static xmlNodePtr child_named(xmlNodePtr parent, const char *name) {
    xmlNodePtr child;
    for (child = parent->children; child != NULL; child = child->next)
        if (is_element(child, name)) return child;
    return NULL;
}

/* The message of a canonical document that the transform works on: source, event, its number, and the room. */
static void append_place(chy_call *call) {
    char number[24] = "";
    xmlNodePtr node = call->context == NULL ? NULL : call->context->node;
    xmlNodePtr message = NULL;
    xmlNodePtr channel;
    if (node == NULL || node->type == XML_NAMESPACE_DECL || call->places++ >= PLACES_MAX) return;
    while (node != NULL && !is_element(node, "Conversation")) {
        if (is_element(node, "Message") || is_element(node, "FirstMessage")) message = node;
        node = node->parent;
    }
    if (node == NULL) return;
    if (message != NULL) {
        unsigned count = 1;
        xmlNodePtr before;
        append_attribute(call, message, "source", EXTENSION_NAMESPACE);
        append_attribute(call, message, "event", EXTENSION_NAMESPACE);
        for (before = message->prev; before != NULL; before = before->prev)
            if (is_element(before, "Message")) count++;
        snprintf(number, sizeof number, "%u%c", count, PART);
        append(call, number, strlen(number));
    } else {
        append(call, (char[]){PART, PART, PART}, 3);
    }
    channel = child_named(node, "Channel");
    if (channel != NULL) append_attribute(call, channel, "uri", NULL);
}

static void record(chy_call *call, char kind, int code, const char *file, int line, const char *text) {
    char head[64];
    size_t len = strlen(text);
    size_t file_len = file == NULL ? 0 : strlen(file);
    if (len > TEXT_MAX) len = TEXT_MAX;
    if (call->log_len + len + file_len > LOG_MAX) {
        call->dropped++;
        return;
    }
    snprintf(head, sizeof head, "%c%c%d%c%d%c", kind, FIELD, code, FIELD, line, FIELD);
    append(call, head, strlen(head));
    if (file != NULL) append(call, file, file_len);
    append(call, (char[]){FIELD}, 1);
    if (kind == 'E' || kind == 'M') append_place(call);
    append(call, (char[]){FIELD}, 1);
    append(call, text, len);
    append(call, (char[]){RECORD}, 1);
}

/* A record about the instruction that is being carried out. */
static void record_here(chy_call *call, char kind, const char *text) {
    xmlNodePtr inst = call->context == NULL ? NULL : call->context->inst;
    const char *file = inst == NULL || inst->doc == NULL ? NULL : (const char *)inst->doc->URL;
    record(call, kind, 0, file, inst == NULL ? 0 : (int)xmlGetLineNo(inst), text);
}

static void on_structured(void *user, error_ptr error) {
    chy_call *call = user;
    if (call == NULL || error == NULL) return;
    /* XPath tells no place of its own: it stands where the instruction does. */
    if (error->file == NULL && error->level != XML_ERR_WARNING && call->context != NULL && call->context->inst != NULL) {
        record_here(call, 'E', error->message == NULL ? "" : error->message);
        return;
    }
    record(call, error->level == XML_ERR_WARNING ? 'W' : 'E', error->code, error->file, error->line,
           error->message == NULL ? "" : error->message);
}

static void take_header(chy_call *call, const char *format, va_list args) {
    call->header = 1;
    xmlFree(call->header_file);
    call->header_file = NULL;
    call->header_line = 0;
    if (strncmp(format, "%s: file %s", 11) != 0) return;
    (void)va_arg(args, const char *);
    call->header_file = (char *)xmlStrdup(va_arg(args, const xmlChar *));
    if (strncmp(format + 11, " line %d", 8) == 0) call->header_line = va_arg(args, int);
}

/*
 * libxslt prints an error as a header ("%s: file %s line %d ...") and then its text, and the words of
 * xsl:message as text alone. Anything else is a trace of templates, which nobody needs.
 */
static void on_words(chy_call *call, int messages, const char *format, va_list args) {
    char *text;
    int len;
    if (strncmp(format, "%s: ", 4) == 0 || strcmp(format, "%s\n") == 0) {
        take_header(call, format, args);
        return;
    }
    if (!call->header && !messages) return;
    text = xmlMalloc(TEXT_MAX);
    if (text == NULL) return;
    len = vsnprintf(text, TEXT_MAX, format, args);
    if (len > 0 && !(len == 1 && text[0] == '\n')) {
        if (!call->header) {
            record_here(call, 'M', text);
        } else if (call->pending != NULL) {
            record(call, 'E', 0, call->header_file, call->header_line, call->pending);
            xmlFree(call->pending);
            call->pending = NULL;
        } else {
            record(call, 'E', 0, call->header_file, call->header_line, text);
        }
        call->header = 0;
    }
    xmlFree(text);
}

static void on_transform_words(void *user, const char *format, ...) {
    va_list args;
    va_start(args, format);
    on_words(user, strcmp(format, "%s") == 0, format, args);
    va_end(args);
}

static void on_global_words(void *user, const char *format, ...) {
    va_list args;
    (void)user;
    if (current == NULL) return;
    va_start(args, format);
    on_words(current, 0, format, args);
    va_end(args);
}

static void swallow(void *user, const char *format, ...) {
    (void)user;
    (void)format;
}

/* ---- files ---------------------------------------------------------------------------------- */

static int fetch(const char *uri) {
    if (current == NULL) return -1;
    xmlFree(current->loaded);
    current->loaded = NULL;
    current->loaded_len = 0;
    xmlFree(current->refusal);
    current->refusal = NULL;
    if (load_file(current->user, current, uri) == 0 && current->loaded != NULL) return 0;
    current->refused = 1;
    return -1;
}

static const char *refusal(void) {
    return current->refusal == NULL ? "a file cannot be loaded" : current->refusal;
}

static void refuse_doctype(void *user, const xmlChar *name, const xmlChar *external, const xmlChar *system) {
    xmlParserCtxtPtr parser = user;
    (void)name;
    (void)external;
    (void)system;
    if (current != NULL) {
        current->refused = 1;
        record(current, 'E', 0, NULL, xmlSAX2GetLineNumber(parser), "a document type declaration is not allowed here");
    }
    parser->wellFormed = 0;
    xmlStopParser(parser);
}

static xmlDocPtr read_bytes(const uint8_t *bytes, size_t len, const char *uri, xmlDictPtr dict, int options) {
    xmlDocPtr doc;
    xmlParserCtxtPtr parser;
    if (len > INT_MAX) {
        if (current != NULL) record(current, 'E', 0, uri, 0, "a document is larger than 2 GiB");
        return NULL;
    }
    parser = xmlNewParserCtxt();
    if (parser == NULL) return NULL;
    if (dict != NULL) {
        xmlDictFree(parser->dict);
        parser->dict = dict;
        xmlDictReference(dict);
    }
    if (options & XML_PARSE_HUGE) parser->sax->internalSubset = refuse_doctype;
    doc = xmlCtxtReadMemory(parser, (const char *)bytes, (int)len, uri, NULL, options);
    if (doc != NULL && !parser->wellFormed) {
        xmlFreeDoc(doc);
        doc = NULL;
    }
    xmlFreeParserCtxt(parser);
    return doc;
}

/* xsl:import, xsl:include and document(). */
static xmlDocPtr load_document(const xmlChar *uri, xmlDictPtr dict, int options, void *context, xsltLoadType type) {
    (void)options;
    if (fetch((const char *)uri) != 0) {
        if (current == NULL) return NULL;
        if (type == XSLT_LOAD_DOCUMENT) {
            ((xsltTransformContextPtr)context)->state = XSLT_STATE_STOPPED;
            record_here(current, 'E', refusal());
        } else {
            xmlFree(current->pending);
            current->pending = (char *)xmlStrdup(BAD_CAST refusal());
        }
        return NULL;
    }
    return read_bytes(current->loaded, current->loaded_len, (const char *)uri, dict, SHEET_OPTIONS);
}

/* External entities, and xs:include and xs:import of schemas. */
static xmlParserInputPtr load_entity(const char *uri, const char *id, xmlParserCtxtPtr parser) {
    xmlParserInputBufferPtr buffer;
    xmlParserInputPtr input;
    (void)id;
    if (uri == NULL) return NULL;
    if (fetch(uri) != 0) {
        int placed = parser != NULL && parser->input != NULL;
        if (current != NULL)
            record(current, 'E', 0, placed ? parser->input->filename : NULL, placed ? parser->input->line : 0, refusal());
        return NULL;
    }
    if (current->loaded_len > INT_MAX) return NULL;
    buffer = xmlParserInputBufferCreateMem((const char *)current->loaded, (int)current->loaded_len, XML_CHAR_ENCODING_NONE);
    if (buffer == NULL) return NULL;
    input = xmlNewIOInputStream(parser, buffer, XML_CHAR_ENCODING_NONE);
    if (input == NULL) {
        xmlFreeParserInputBuffer(buffer);
        return NULL;
    }
    input->filename = (const char *)xmlStrdup((const xmlChar *)uri);
    return input;
}

/* Whatever document() names comes out of the loader, which decides; nothing here opens a file. */
static int loader_decides(xsltSecurityPrefsPtr prefs, xsltTransformContextPtr context, const char *uri) {
    (void)prefs;
    (void)context;
    (void)uri;
    return 1;
}

static int refuse_network(xsltSecurityPrefsPtr prefs, xsltTransformContextPtr context, const char *uri) {
    (void)prefs;
    (void)context;
    if (fetch(uri) != 0 && current != NULL) record_here(current, 'E', refusal());
    return 0;
}

/* ---- set-up and calls ----------------------------------------------------------------------- */

void chy_init(chy_load load) {
    load_file = load;
    xmlInitParser();
    xmlXPathInit();
    xmlSchemaInitTypes();
    xsltInit();
    exsltCommonRegister();
    exsltStrRegister();
    exsltDateRegister();
    exsltMathRegister();
    exsltSetsRegister();
    xsltSetLoaderFunc(load_document);
    xmlSetExternalEntityLoader(load_entity);
    xsltSetGenericErrorFunc(NULL, on_global_words);
    xsltSetGenericDebugFunc(NULL, swallow);
}

/* The structured handlers of libxml2 belong to a thread, so each call sets them anew. */
chy_call *chy_call_new(void *user) {
    chy_call *call = xmlMalloc(sizeof *call);
    if (call == NULL) return NULL;
    memset(call, 0, sizeof *call);
    call->user = user;
    current = call;
    xmlSetStructuredErrorFunc(call, on_structured);
    xmlSetGenericErrorFunc(NULL, swallow);
    return call;
}

void chy_call_free(chy_call *call) {
    xmlSetStructuredErrorFunc(NULL, NULL);
    current = NULL;
    xmlResetLastError();
    xmlFree(call->log);
    xmlFree(call->loaded);
    xmlFree(call->header_file);
    xmlFree(call->refusal);
    xmlFree(call->pending);
    xmlFree(call);
}

void chy_call_refuse(chy_call *call, const char *why) {
    xmlFree(call->refusal);
    call->refusal = (char *)xmlStrdup(BAD_CAST why);
}

int chy_call_put(chy_call *call, const uint8_t *bytes, size_t len) {
    xmlFree(call->loaded);
    call->loaded = xmlMalloc(len + 1);
    if (call->loaded == NULL) return -1;
    if (len != 0) memcpy(call->loaded, bytes, len);
    call->loaded_len = len;
    return 0;
}

const uint8_t *chy_call_log(const chy_call *call, size_t *len, uint64_t *dropped) {
    *len = call->log_len;
    *dropped = call->dropped;
    return (const uint8_t *)call->log;
}

/* ---- stylesheets ---------------------------------------------------------------------------- */

/* The parameters at the top level, imported ones included, as {uri}name or name. */
static void record_parameters(chy_call *call, xsltStylesheetPtr main) {
    xsltStylesheetPtr sheet;
    xsltStackElemPtr declared;
    char name[1024];
    for (sheet = main; sheet != NULL; sheet = xsltNextImport(sheet)) {
        for (declared = sheet->variables; declared != NULL; declared = declared->next) {
            if (declared->comp == NULL || declared->comp->type != XSLT_FUNC_PARAM) continue;
            if (declared->nameURI == NULL) {
                snprintf(name, sizeof name, "%s", (const char *)declared->name);
            } else {
                snprintf(name, sizeof name, "{%s}%s", (const char *)declared->nameURI, (const char *)declared->name);
            }
            record(call, 'D', 0, NULL, 0, name);
        }
    }
}

xsltStylesheetPtr chy_sheet_compile(chy_call *call, const uint8_t *bytes, size_t len, const char *uri) {
    xsltStylesheetPtr sheet;
    xmlDocPtr doc;
    doc = read_bytes(bytes, len, uri, NULL, SHEET_OPTIONS);
    if (doc == NULL) return NULL;
    sheet = xsltParseStylesheetDoc(doc);
    if (call->pending != NULL) record(call, 'E', 0, NULL, 0, call->pending);
    if (sheet == NULL) {
        xmlFreeDoc(doc);
        return NULL;
    }
    record_parameters(call, sheet);
    if (sheet->errors != 0 || call->refused) {
        xsltFreeStylesheet(sheet);
        return NULL;
    }
    return sheet;
}

void chy_sheet_free(xsltStylesheetPtr sheet) { xsltFreeStylesheet(sheet); }

const char *chy_sheet_method(xsltStylesheetPtr sheet) {
    const xmlChar *method;
    XSLT_GET_IMPORT_PTR(method, sheet, method)
    return (const char *)method;
}

const char *chy_sheet_media_type(xsltStylesheetPtr sheet) {
    const xmlChar *media_type;
    XSLT_GET_IMPORT_PTR(media_type, sheet, mediaType)
    return (const char *)media_type;
}

const char *chy_sheet_encoding(xsltStylesheetPtr sheet) {
    const xmlChar *encoding;
    XSLT_GET_IMPORT_PTR(encoding, sheet, encoding)
    return (const char *)encoding;
}

/* 1 for yes, 0 for no, -1 when the stylesheet does not say. */
int chy_sheet_indent(xsltStylesheetPtr sheet) {
    int indent;
    XSLT_GET_IMPORT_INT(indent, sheet, indent)
    return indent;
}

static void forget_costs(xsltStylesheetPtr sheet) {
    xsltTemplatePtr template;
    for (; sheet != NULL; sheet = xsltNextImport(sheet)) {
        for (template = sheet->templates; template != NULL; template = template->next) {
            template->nbCalls = 0;
            template->time = 0;
        }
    }
}

static const char *or_empty(const xmlChar *text) { return text == NULL ? "" : (const char *)text; }

/* What each template cost: calls in place of the code; microseconds, match, name and mode as the text. */
static void record_costs(chy_call *call, xsltStylesheetPtr sheet) {
    xsltTemplatePtr template;
    char text[1024];
    for (; sheet != NULL; sheet = xsltNextImport(sheet)) {
        for (template = sheet->templates; template != NULL; template = template->next) {
            if (template->nbCalls == 0 || template->elem == NULL) continue;
            snprintf(text, sizeof text, "%llu%c%.400s%c%.200s%c%.200s",
                     (unsigned long long)template->time * (1000000 / XSLT_TIMESTAMP_TICS_PER_SEC), PART,
                     or_empty(template->match), PART, or_empty(template->name), PART, or_empty(template->mode));
            record(call, 'P', template->nbCalls, template->elem->doc == NULL ? NULL : or_empty(template->elem->doc->URL),
                   (int)xmlGetLineNo(template->elem), text);
        }
    }
}

static xsltSecurityPrefsPtr new_prefs(void) {
    xsltSecurityPrefsPtr prefs = xsltNewSecurityPrefs();
    if (prefs == NULL) return NULL;
    if (xsltSetSecurityPrefs(prefs, XSLT_SECPREF_READ_FILE, loader_decides) != 0 ||
        xsltSetSecurityPrefs(prefs, XSLT_SECPREF_WRITE_FILE, xsltSecurityForbid) != 0 ||
        xsltSetSecurityPrefs(prefs, XSLT_SECPREF_CREATE_DIRECTORY, xsltSecurityForbid) != 0 ||
        xsltSetSecurityPrefs(prefs, XSLT_SECPREF_READ_NETWORK, refuse_network) != 0 ||
        xsltSetSecurityPrefs(prefs, XSLT_SECPREF_WRITE_NETWORK, xsltSecurityForbid) != 0) {
        xsltFreeSecurityPrefs(prefs);
        return NULL;
    }
    return prefs;
}

static xmlDocPtr run(chy_call *call, xsltStylesheetPtr sheet, xmlDocPtr doc, const char **parameters, int depth_max,
                     uint64_t operations_max, int profile) {
    xmlDocPtr result = NULL;
    xsltSecurityPrefsPtr prefs = new_prefs();
    xsltTransformContextPtr context = prefs == NULL ? NULL : xsltNewTransformContext(sheet, doc);
    if (context != NULL && xsltSetCtxtSecurityPrefs(prefs, context) == 0) {
        xsltSetTransformErrorFunc(context, call, on_transform_words);
        context->maxTemplateDepth = depth_max;
        /* libxslt's own proportion of nested variables to nested templates. */
        context->maxTemplateVars = depth_max > INT_MAX / 5 ? INT_MAX : depth_max * 5;
        context->opLimit = operations_max;
        context->xpathCtxt->opLimit = operations_max;
        context->profile = profile;
        if (profile) forget_costs(sheet);
        call->context = context;
        if (xsltQuoteUserParams(context, parameters) == 0)
            result = xsltApplyStylesheetUser(sheet, doc, NULL, NULL, NULL, context);
        call->context = NULL;
        if (profile) record_costs(call, sheet);
        if (result != NULL && (context->state != XSLT_STATE_OK || call->refused)) {
            xmlFreeDoc(result);
            result = NULL;
        }
    }
    if (context != NULL) xsltFreeTransformContext(context);
    if (prefs != NULL) xsltFreeSecurityPrefs(prefs);
    return result;
}

int chy_sheet_transform(chy_call *call, xsltStylesheetPtr sheet, const uint8_t *bytes, size_t len, const char **parameters,
                        int depth_max, uint64_t operations_max, int profile, uint8_t **out, size_t *out_len) {
    xmlChar *text = NULL;
    int text_len = 0;
    int saved;
    xmlDocPtr result;
    xmlDocPtr doc;
    doc = read_bytes(bytes, len, NULL, NULL, INPUT_OPTIONS);
    if (doc == NULL) return OUTCOME_INPUT;
    result = run(call, sheet, doc, parameters, depth_max, operations_max, profile);
    if (result == NULL) {
        xmlFreeDoc(doc);
        return OUTCOME_RUN;
    }
    saved = xsltSaveResultToString(&text, &text_len, result, sheet);
    xmlFreeDoc(result);
    xmlFreeDoc(doc);
    if (saved != 0 || text_len < 0) {
        xmlFree(text);
        return OUTCOME_SAVE;
    }
    *out = text;
    *out_len = (size_t)text_len;
    return OUTCOME_DONE;
}

void chy_bytes_free(uint8_t *bytes) { xmlFree(bytes); }

/* ---- schemas -------------------------------------------------------------------------------- */

void chy_schema_free(chy_schema *schema) {
    xmlSchemaFree(schema->schema);
    xmlFreeDoc(schema->doc);
    xmlFree(schema);
}

chy_schema *chy_schema_compile(chy_call *call, const uint8_t *bytes, size_t len, const char *uri) {
    xmlSchemaParserCtxtPtr parser;
    chy_schema *schema = xmlMalloc(sizeof *schema);
    if (schema == NULL) return NULL;
    schema->schema = NULL;
    schema->doc = read_bytes(bytes, len, uri, NULL, SHEET_OPTIONS);
    parser = schema->doc == NULL ? NULL : xmlSchemaNewDocParserCtxt(schema->doc);
    if (parser != NULL) {
        xmlSchemaSetParserStructuredErrors(parser, on_structured, call);
        schema->schema = xmlSchemaParse(parser);
        xmlSchemaFreeParserCtxt(parser);
    }
    if (schema->schema == NULL || call->refused) {
        chy_schema_free(schema);
        return NULL;
    }
    return schema;
}

int chy_schema_validate(chy_call *call, const chy_schema *schema, const uint8_t *bytes, size_t len) {
    int verdict = -1;
    xmlSchemaValidCtxtPtr context;
    xmlDocPtr doc;
    doc = read_bytes(bytes, len, NULL, NULL, INPUT_OPTIONS);
    if (doc == NULL) return OUTCOME_INPUT;
    context = xmlSchemaNewValidCtxt(schema->schema);
    if (context != NULL) {
        xmlSchemaSetValidStructuredErrors(context, on_structured, call);
        verdict = xmlSchemaValidateDoc(context, doc);
        xmlSchemaFreeValidCtxt(context);
    }
    xmlFreeDoc(doc);
    return verdict == 0 ? OUTCOME_DONE : OUTCOME_INVALID;
}

/* ---- clock ---------------------------------------------------------------------------------- */

/* Seconds of processor time this process has used. */
uint64_t chy_cpu_seconds(void) {
    struct timespec used;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) != 0) return 0;
    return (uint64_t)used.tv_sec;
}
