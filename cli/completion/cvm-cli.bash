# bash completion for cvm-cli                              -*- shell-script -*-
# Commands and options are asked of the program itself (cvm-cli help), so that they are those of its version.

_cvm_cli_commands() {
    "$1" help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p'
}

# The options of a command (or of an action: "policy gcp"), from its usage and from the left side of its table.
_cvm_cli_options() {
    # shellcheck disable=SC2086 # two words if there is an action
    "$1" help $2 2>/dev/null | sed -n -e '1s/^usage: cvm-cli '"$2"'//' -e '1,/^$/p' -e '/^$/,$s/^  \(-.*\)/\1/p' |
        sed 's/\([^ ]\)  .*/\1/' | grep -oE -- '(^|[^[:alnum:]_-])--?[[:alpha:]][[:alnum:]_-]*' | grep -oE -- '-.*' | sort -u
}

# What may stand in place of its first argument ("gcp|azure|...").
_cvm_cli_words() {
    "$1" help "$2" 2>/dev/null | sed -n "1s/^usage: cvm-cli $2 \([a-z-]*|[a-z|-]*\).*/\1/p" | tr '|' '\n'
}

_cvm_cli() {
    local cur=${COMP_WORDS[COMP_CWORD]} tool=${COMP_WORDS[0]} command=${COMP_WORDS[1]:-} words
    COMPREPLY=()
    case $COMP_CWORD:$command in
    1:*) words="$(_cvm_cli_commands "$tool") --version --help" ;;
    2:help) words=$(_cvm_cli_commands "$tool") ;;
    *)
        words=$(_cvm_cli_words "$tool" "$command")
        if ((COMP_CWORD > 2)); then
            [[ $cur == -* ]] || return
            grep -qxF -e "${COMP_WORDS[2]}" <<<"$words" && command+=" ${COMP_WORDS[2]}"
            words=
        fi
        words+=" $(_cvm_cli_options "$tool" "$command")"
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

# What is no word of ours is a file.
complete -o bashdefault -o default -F _cvm_cli cvm-cli
