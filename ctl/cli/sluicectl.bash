# SPDX-License-Identifier: Apache-2.0
#
# bash completion for sluicectl. What may come next is sluicectl's to say (`sluicectl --complete`), from its tables and the node; here the
# line is cut into words, and candidates are cut where bash cuts words itself: at = and :, which are in COMP_WORDBREAKS.

_sluicectl()
{
	local line=${COMP_LINE:0:COMP_POINT} last candidate cut IFS=$' \t\n'
	local -a words candidates

	read -ra words <<< "$line"
	[[ $line == *[[:space:]] ]] && words+=("")
	last=${words[${#words[@]}-1]}

	mapfile -t candidates < <("${words[0]}" --complete "${words[@]:1}" 2> /dev/null)
	cut=${last%"${last##*[=:]}"}
	COMPREPLY=()
	for candidate in "${candidates[@]}"; do
		[[ $candidate == *= ]] && compopt -o nospace 2> /dev/null
		COMPREPLY+=("${candidate#"$cut"}")
	done
}

complete -o default -F _sluicectl sluicectl
