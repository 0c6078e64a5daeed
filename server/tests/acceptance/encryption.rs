//! Which encryption each object is asked to have.

use server::config::Encryption;

use crate::support::client::Form;
use crate::support::fixture::Fixture;
use crate::support::sample::{self, KIB, MIB};
use crate::support::store::Op;

/// Put and Create ask for what was configured, and for nothing otherwise; S3 takes no such header with anything else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s27_each_object_asks_for_its_encryption() {
    const ARN: &str = "arn:aws:kms:eu-north-1:111122223333:key/uploads";
    for (encryption, key, asked) in [
        (None, None, [None, None]),
        (Some(Encryption::Aes256), None, [Some("AES256"), None]),
        (Some(Encryption::Kms), None, [Some("aws:kms"), None]),
        (Some(Encryption::Kms), Some(ARN), [Some("aws:kms"), Some(ARN)]),
    ] {
        println!("{encryption:?} {key:?}");
        let configure = move |config: &mut server::config::Config| {
            config.storage.s3_encryption = encryption;
            config.storage.s3_kms_key = key.map(str::to_owned);
        };
        let fixture = Fixture::setup().config(configure).start().await;
        for size in [300 * KIB, 6 * MIB] {
            let content = sample::pdf(size);
            let file = Form::document(&content).post(fixture.server).await.stored_one();
            fixture.take_stored(&file, &content).await;
        }
        for op in [Op::Put, Op::Create] {
            assert_eq!(fixture.store.calls_of(op).len(), 1, "{op:?}");
        }
        for call in fixture.store.calls() {
            let header = |name| call.headers.get(name).map(|value| value.to_str().unwrap());
            let names = ["x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id"];
            let begins = call.is(Op::Put) || call.is(Op::Create);
            let expected = if begins { asked } else { [None, None] };
            assert_eq!(names.map(header), expected, "{:?}", call.op);
        }
        fixture.finish().await;
    }
}
