//! The records that are stored: about a kilobyte each, as Cloudmarker's Azure plugins make them, with the same content for
//! everybody. Knows no store.

use serde_json::{Value, json};

/// A record.
pub(super) fn record(number: u64) -> Value {
    let (group, size) = (number % 53, ["Standard_B2s", "Standard_D4s_v3", "Standard_E8s_v3"][(number % 3) as usize]);
    let id = format!(
        "/subscriptions/0f3a6d4e-7b2c-4c1d-9e5f-5d2b8a6c4e10/resourceGroups/rg-{group}/providers/Microsoft.Compute/virtualMachines/vm-{number}"
    );
    json!({
        "raw": {
            "id": id, "name": format!("vm-{number}"), "type": "Microsoft.Compute/virtualMachines",
            "location": "westeurope", "tags": {"env": "production", "owner": format!("team-{}", number % 17)},
            "hardware_profile": {"vm_size": size},
            "storage_profile": {
                "image_reference": {"publisher": "Canonical", "offer": "UbuntuServer", "sku": "18.04-LTS"},
                "os_disk": {"os_type": "Linux", "name": format!("vm-{number}_disk1"), "disk_size_gb": 30 + number % 100,
                            "managed_disk": {"storage_account_type": "Premium_LRS"}},
                "data_disks": [{"lun": 0, "caching": "None", "disk_size_gb": 128}],
            },
            "os_profile": {"computer_name": format!("vm-{number}"), "admin_username": "azureuser",
                           "linux_configuration": {"disable_password_authentication": !number.is_multiple_of(5)}},
            "provisioning_state": "Succeeded", "vm_id": format!("{:032x}", u128::from(number) * 0x9e37_79b9_7f4a_7c15),
        },
        "ext": {"cloud_type": "azure", "record_type": "virtual_machine", "subscription_name": "production",
                "subscription_state": "enabled", "reference": id, "power_state": "running"},
        "com": {"cloud_type": "azure", "record_type": "compute", "reference": id},
    })
}

/// An id for a document of the plain client, of the same form and as scattered as ours.
pub(super) fn id(number: u64) -> String {
    // SplitMix64 (Steele, Lea, Flood, 2014), twice.
    let mixed = |seed: u64| {
        let once = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let twice = (once ^ (once >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        twice ^ (twice >> 31)
    };
    let (high, low) = (mixed(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)), mixed(!number));
    let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xfff);
    format!("{a:08x}-{b:04x}-8{c:03x}-{:04x}-{:012x}", low >> 48 & 0x3fff | 0x8000, low & 0xffff_ffff_ffff)
}

/// An incident that carries a record.
pub(super) fn incident(number: u64, body: &mut Vec<u8>) {
    let Value::Object(mut fields) = record(number) else { return };
    fields.insert("title".to_owned(), json!(format!("virtual_machine vm-{number}")));
    fields.insert("severity".to_owned(), json!("info"));
    fields.insert("detected_by".to_owned(), json!("cloudmarker"));
    body.extend_from_slice(Value::Object(fields).to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_the_plain_client_are_as_long_as_ours_and_differ() {
        let ids: std::collections::HashSet<String> = (0..10_000).map(id).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 36));
    }

    #[test]
    fn a_record_has_three_parts_and_about_a_kilobyte_and_its_incident_carries_it_unchanged() {
        let record = record(12_345);
        assert_eq!(record.as_object().unwrap().keys().collect::<Vec<_>>(), ["com", "ext", "raw"]);
        assert!((1000..2000).contains(&record.to_string().len()), "{}", record.to_string().len());
        let mut body = Vec::new();
        incident(12_345, &mut body);
        let incident: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(["raw", "ext", "com"].map(|part| &incident[part]), ["raw", "ext", "com"].map(|part| &record[part]));
    }
}
