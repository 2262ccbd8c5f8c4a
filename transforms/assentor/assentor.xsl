<?xml version="1.0" encoding="UTF-8"?>
<!--
  Canonical XML to plain mails: one for each room and interval, the conversation as text, one subject for each room.
  A preset of ours: README.md says why. The result is a packaging document (docs/packaging.md).
-->
<xsl:stylesheet version="1.0"
                xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
                xmlns:c="urn:chancery:1"
                xmlns:p="urn:chancery:package:1"
                exclude-result-prefixes="c">

  <xsl:import href="mail.xsl"/>
  <xsl:output method="xml" encoding="UTF-8" indent="no" media-type="application/vnd.chancery.package+xml"/>

  <!-- What goes before the room's name in the subject. -->
  <xsl:param name="subject" select="'Instant messages: '"/>

  <xsl:template match="/">
    <xsl:call-template name="check-mail-parameters"/>
    <p:package>
      <xsl:for-each select="Conversations/Conversation">
        <xsl:text>&#10;</xsl:text>
        <p:file extension="eml"><xsl:apply-templates select="." mode="mail"/></p:file>
      </xsl:for-each>
    </p:package>
  </xsl:template>

  <xsl:template match="Conversation" mode="mail">
    <xsl:variable name="key"><xsl:apply-templates select="." mode="key"/></xsl:variable>
    <p:mail domain="{$domain}">
      <p:addresses name="From"><xsl:apply-templates select="." mode="initiator"/></p:addresses>
      <p:addresses name="To"><xsl:apply-templates select="." mode="everybody"/></p:addresses>
      <p:header name="Subject">
        <xsl:value-of select="$subject"/>
        <xsl:apply-templates select="Channel" mode="name"/>
        <xsl:if test="@c:parts &gt; 1"><xsl:value-of select="concat(' (part ', @c:part, ' of ', @c:parts, ')')"/></xsl:if>
      </p:header>
      <p:date name="Date" at="{EndTimeUTC/@string}"/>
      <p:ids name="Message-ID"><p:id key="{$key}"/></p:ids>
      <xsl:apply-templates select="." mode="thread"/>
      <xsl:call-template name="with-files">
        <xsl:with-param name="transcript"><p:text><xsl:apply-templates select="." mode="text"/></p:text></xsl:with-param>
      </xsl:call-template>
    </p:mail>
  </xsl:template>
</xsl:stylesheet>
