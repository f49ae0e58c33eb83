/* Commands: token create, list and revoke. */
#include "server/command_parts.h"

#include "server/config.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { ARGUMENTS_MAX = 64, SCOPES_MAX = 128 };

struct token_options {
    const char *name;
    const char *expires;     /* or NULL: never */
    char scopes[SCOPES_MAX]; /* space-separated */
    const char *id;          /* what stands without a flag */
    char *settings[ARGUMENTS_MAX];
    int setting_count;
};

/* Appends scopes separated by blanks or commas; false where they are too long. */
static bool add_scopes(struct token_options *options, const char *text)
{
    for (text += strspn(text, " ,"); *text != '\0'; text += strspn(text, " ,")) {
        size_t size = strcspn(text, " ,");
        size_t used = strlen(options->scopes);
        if (used + size + 2 > sizeof options->scopes) {
            return false;
        }
        snprintf(options->scopes + used, sizeof options->scopes - used, "%s%.*s",
                 used > 0 ? " " : "", (int)size, text);
        text += size;
    }
    return true;
}

/* Passes a setting on, with its value where that is an argument of its own. */
static bool pass_setting(struct token_options *options, int argc, char *const *argv, int *i)
{
    if (options->setting_count + 2 > ARGUMENTS_MAX) {
        return false;
    }
    bool has_value = strchr(argv[*i], '=') == NULL && *i + 1 < argc;
    options->settings[options->setting_count++] = argv[*i];
    if (has_value) {
        options->settings[options->setting_count++] = argv[++*i];
    }
    return true;
}

/* Sorts arguments into the command's own and settings. NULL, or what is wrong. */
static const char *read_token_options(int argc, char *const *argv, struct token_options *options)
{
    for (int i = 0; i < argc; i++) {
        const char *value = "";
        if (lq_config_flag(argc, argv, &i, "name", &value)) {
            options->name = value;
        } else if (lq_config_flag(argc, argv, &i, "expires", &value)) {
            options->expires = value;
        } else if (lq_config_flag(argc, argv, &i, "scope", &value)) {
            if (value != NULL && !add_scopes(options, value)) {
                return "too many scopes";
            }
        } else if (strncmp(argv[i], "--", 2) != 0 && options->id == NULL) {
            options->id = argv[i];
        } else if (!pass_setting(options, argc, argv, &i)) {
            return "too many arguments";
        }
        if (value == NULL) {
            return "a flag lacks its value";
        }
    }
    return NULL;
}

static enum lq_code create_token(struct lq_store *store, const struct token_options *options,
                                 struct lq_error *err)
{
    char secret[LQ_ID_MAX];
    LQ_TRY(lq_store_create_token(store, options->name, options->scopes, options->expires, secret,
                                 err));
    puts(secret);
    return LQ_OK;
}

static void print_token(const struct lq_token *token, void *context)
{
    (void)context;
    printf("%s\t%s\t%s\t%s\t%s\t%s\n", token->id, token->name, token->scopes, token->created,
           token->expires[0] != '\0' ? token->expires : "never",
           token->revoked                ? "revoked"
           : lq_token_has_expired(token) ? "expired"
                                         : "valid");
}

static enum lq_code list_tokens(struct lq_store *store, const struct token_options *options,
                                struct lq_error *err)
{
    (void)options;
    puts("id\tname\tscopes\tcreated\texpires\tstate");
    return lq_store_list_tokens(store, print_token, NULL, err);
}

static enum lq_code revoke_token(struct lq_store *store, const struct token_options *options,
                                 struct lq_error *err)
{
    return lq_store_revoke_token(store, options->id, err);
}

static const struct token_command {
    const char *name;
    enum lq_code (*run)(struct lq_store *, const struct token_options *, struct lq_error *);
    bool creates; /* takes --name and --scope, and makes the database where there is none */
    bool takes_id;
} TOKEN_COMMANDS[] = {
    {"create", create_token, true, false},
    {"list", list_tokens, false, false},
    {"revoke", revoke_token, false, true},
};

static const struct token_command *find_token_command(const char *name)
{
    for (size_t i = 0; i < sizeof TOKEN_COMMANDS / sizeof TOKEN_COMMANDS[0]; i++) {
        if (strcmp(TOKEN_COMMANDS[i].name, name) == 0) {
            return &TOKEN_COMMANDS[i];
        }
    }
    return NULL;
}

static const char *usage_of(const struct token_command *command,
                            const struct token_options *options)
{
    if (command->creates && (options->name == NULL || options->scopes[0] == '\0')) {
        return "token create needs --name and --scope";
    }
    if (!command->creates &&
        (options->name != NULL || options->scopes[0] != '\0' || options->expires != NULL)) {
        return "--name, --scope and --expires belong to token create";
    }
    if (command->takes_id != (options->id != NULL)) {
        return command->takes_id ? "token revoke needs the token's ID" : "unexpected argument";
    }
    return NULL;
}

int lq_command_token(int argc, char *const *argv, const struct lq_hooks *hooks)
{
    const struct token_command *command = argc > 0 ? find_token_command(argv[0]) : NULL;
    if (command == NULL) {
        return lq_command_usage("token takes create, list or revoke");
    }
    struct token_options options = {0};
    const char *wrong = read_token_options(argc - 1, argv + 1, &options);
    wrong = wrong != NULL ? wrong : usage_of(command, &options);
    if (wrong != NULL) {
        return lq_command_usage(wrong);
    }
    struct lq_config config;
    struct lq_error err = {0};
    if (lq_config_load(&config, options.setting_count, options.settings, &err) != LQ_OK) {
        return lq_command_fail(LQ_EXIT_USAGE, &err);
    }
    struct lq_store *store = NULL;
    enum lq_code code = command->creates ? lq_store_open(config.db, hooks, &store, &err)
                                         : lq_store_open_existing(config.db, hooks, &store, &err);
    if (code != LQ_OK) {
        return lq_command_fail(LQ_EXIT_FAILED, &err);
    }
    code = command->run(store, &options, &err);
    lq_store_close(store);
    if (code != LQ_OK) {
        return lq_command_fail(code == LQ_EFIELD ? LQ_EXIT_USAGE : LQ_EXIT_FAILED, &err);
    }
    return LQ_EXIT_OK;
}
