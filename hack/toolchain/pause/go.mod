module openos.dev/hack/toolchain/pause

go 1.26.0
