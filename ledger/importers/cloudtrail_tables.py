"""The tables of the CloudTrail mapping; `docs/cloudtrail.md` shows them, and a test compares the two.

The rule that must not break: a change to a table changes mapped bytes, so it needs a new mapping version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ledger.events.event import ActorType, AuthMethod

METADATA: Final[Mapping[str, str]] = {
    "aws_account_id": "userIdentity.accountId",
    "aws_api_version": "apiVersion",
    "aws_event_category": "eventCategory",
    "aws_event_id": "eventID",
    "aws_event_name": "eventName",
    "aws_event_source": "eventSource",
    "aws_event_type": "eventType",
    "aws_event_version": "eventVersion",
    "aws_identity_type": "userIdentity.type",
    "aws_invoked_by": "userIdentity.invokedBy",
    "aws_management_event": "managementEvent",
    "aws_read_only": "readOnly",
    "aws_recipient_account_id": "recipientAccountId",
    "aws_region": "awsRegion",
    "aws_session_created": "userIdentity.sessionContext.attributes.creationDate",
    "aws_session_from_console": "sessionCredentialFromConsole",
    "aws_session_issuer_id": "userIdentity.sessionContext.sessionIssuer.principalId",
    "aws_session_issuer_type": "userIdentity.sessionContext.sessionIssuer.type",
    "aws_source_address": "sourceIPAddress",
    "aws_tls_version": "tlsDetails.tlsVersion",
    "aws_vpc_endpoint_id": "vpcEndpointId",
}
"""Metadata keys of the event section, and the record's field that each one is; `aws_source_address` only where that
is no IP address."""

PERSONAL_METADATA: Final[Mapping[str, str]] = {
    "aws_arn": "userIdentity.arn",
    "aws_session_issuer_arn": "userIdentity.sessionContext.sessionIssuer.arn",
}
"""Metadata keys of the personal section, and the record's field that each one is."""

ACTOR_TYPES: Final[Mapping[str, ActorType]] = {
    "IAMUser": ActorType.USER,
    "Root": ActorType.USER,
    "FederatedUser": ActorType.USER,
    "SAMLUser": ActorType.USER,
    "WebIdentityUser": ActorType.USER,
    "IdentityCenterUser": ActorType.USER,
    "Directory": ActorType.USER,
    "AssumedRole": ActorType.SERVICE,
    "Role": ActorType.SERVICE,
    "AWSService": ActorType.SERVICE,
}
"""Actor types by `userIdentity.type`; two exceptions are in the code."""

AUTH_METHODS_BY_IDENTITY: Final[Mapping[str, AuthMethod]] = {
    "SAMLUser": AuthMethod.SSO_SAML,
    "WebIdentityUser": AuthMethod.SSO_OIDC,
}
"""Authentication methods by `userIdentity.type`; comes before the next table."""

AUTH_METHODS_BY_KEY_PREFIX: Final[Mapping[str, AuthMethod]] = {
    "AKIA": AuthMethod.API_KEY,
    "ASIA": AuthMethod.SESSION,
}
"""Authentication methods by the first four characters of `userIdentity.accessKeyId`."""

DENIED_CODES: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "AuthorizationErrorException",
        "Forbidden",
        "ForbiddenException",
        "InsufficientPrivilegesException",
        "NotAuthorized",
        "NotAuthorizedException",
        "Unauthorized",
        "UnauthorizedAccess",
        "UnauthorizedException",
        "UnauthorizedOperation",
    }
)
"""Last parts of error codes that tell of an authorization decision."""

TARGET_PARAMETERS: Final[Mapping[str, Mapping[str, str]]] = {
    "bedrock.amazonaws.com": {"modelId": "aws_bedrock_model"},
    "cloudtrail.amazonaws.com": {"name": "aws_cloudtrail_trail", "trailName": "aws_cloudtrail_trail"},
    "dynamodb.amazonaws.com": {"tableName": "aws_dynamodb_table"},
    "ec2.amazonaws.com": {
        "instanceId": "aws_ec2_instance",
        "instancesSet.items[].instanceId": "aws_ec2_instance",
        "imageId": "aws_ec2_image",
        "volumeId": "aws_ec2_volume",
        "snapshotId": "aws_ec2_snapshot",
        "vpcId": "aws_ec2_vpc",
        "subnetId": "aws_ec2_subnet",
        "groupId": "aws_ec2_security_group",
        "routeTableId": "aws_ec2_route_table",
        "internetGatewayId": "aws_ec2_internet_gateway",
    },
    "iam.amazonaws.com": {
        "userName": "aws_iam_user",
        "groupName": "aws_iam_group",
        "roleName": "aws_iam_role",
        "policyArn": "aws_iam_policy",
        "instanceProfileName": "aws_iam_instance_profile",
        "accessKeyId": "aws_iam_access_key",
    },
    "kms.amazonaws.com": {"keyId": "aws_kms_key"},
    "lambda.amazonaws.com": {"functionName": "aws_lambda_function"},
    "logs.amazonaws.com": {"logGroupName": "aws_logs_log_group"},
    "rds.amazonaws.com": {
        "dBInstanceIdentifier": "aws_rds_db_instance",
        "dBSnapshotIdentifier": "aws_rds_db_snapshot",
    },
    "s3.amazonaws.com": {"bucketName": "aws_s3_bucket"},
    "secretsmanager.amazonaws.com": {"secretId": "aws_secretsmanager_secret"},
    "sns.amazonaws.com": {"topicArn": "aws_sns_topic"},
    "sqs.amazonaws.com": {"queueUrl": "aws_sqs_queue"},
    "ssm.amazonaws.com": {
        "instanceId": "aws_ec2_instance",
        "instanceIds[]": "aws_ec2_instance",
        "documentName": "aws_ssm_document",
    },
    "sts.amazonaws.com": {"roleArn": "aws_iam_role"},
}
"""Request parameters that name a target, by event source, and the target's type; `[]` is every element of a list."""
