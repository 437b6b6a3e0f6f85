// OpenSSL's message digests, for the checksums of checkpoints and corpora.
#pragma once
#include <openssl/evp.h>
