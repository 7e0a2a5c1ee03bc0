# bash completion for cvm-cli                              -*- shell-script -*-
# Commands and options are asked of the program itself (cvm-cli help), so that they are those of its version.

_cvm_cli_commands() {
    "$1" help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p'
}

# The options of a command, and what may stand in place of its first argument ("gcp|azure|...").
_cvm_cli_words() {
    local usage
    usage=$("$1" help "$2" 2>/dev/null | sed '/^$/q')
    grep -oE -- '--?[a-z][a-z-]*' <<<"${usage#usage: cvm-cli "$2"}"
    sed -n "1s/^usage: cvm-cli $2 \([a-z-]*|[a-z|-]*\).*/\1/p" <<<"$usage" | tr '|' '\n'
}

_cvm_cli() {
    local cur=${COMP_WORDS[COMP_CWORD]} tool=${COMP_WORDS[0]}
    COMPREPLY=()
    case $COMP_CWORD:${COMP_WORDS[1]:-} in
    1:*) mapfile -t COMPREPLY < <(compgen -W "$(_cvm_cli_commands "$tool") --version --help" -- "$cur") ;;
    2:help) mapfile -t COMPREPLY < <(compgen -W "$(_cvm_cli_commands "$tool")" -- "$cur") ;;
    2:*) mapfile -t COMPREPLY < <(compgen -W "$(_cvm_cli_words "$tool" "${COMP_WORDS[1]}")" -- "$cur") ;;
    *)
        if [[ $cur == -* ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$(_cvm_cli_words "$tool" "${COMP_WORDS[1]}" | grep '^-')" -- "$cur")
        fi
        ;;
    esac
}

# What is no word of ours is a file.
complete -o bashdefault -o default -F _cvm_cli cvm-cli
