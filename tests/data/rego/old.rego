default matches_sevsnp_policy = false

matches_sevsnp_policy = true {
	input.sevsnp.sevsnp_is_debuggable == false
	pcr := input.tpm.pcrs[_]
	pcr.index == 0
	object.subset({"a", "b", input.x}, {x | x := input.ids[_]})
	not bad[input.sevsnp.sevsnp_vmpl]
}

bad[x] {
	x := [1, 2, 3][_]
}

names[k] = v {
	v := input.sevsnp[k]
}

f(x) = y {
	x > 1
	y := x * 2
} else = z {
	z := sprintf("%v-%05.2f", [x, 1.5])
}

input.tdx[a].b == `raw`
count(names) > f(1)
